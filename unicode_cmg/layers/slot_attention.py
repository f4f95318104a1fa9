"""Slot attention: a few vectors compete for the tokens of a sample until each stands for a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.draws import ClipDraws
from unicode_cmg.errors import at_least, one_of, positive


@dataclass(frozen=True)
class SlotAssignment:
    """Slots and the attention of the last iteration, which made them.

    Attributes:
        slots: `[B, L, D]`.
        attention: `[B, N, L]`, how a token divides itself among the slots: sums to 1 over slots, 0 at padding
            (SGA paper eq. 6).
        weights: `[B, N, L]`, what share a token has in a slot: sums to 1 over the tokens of a sample, 0 at
            padding (`A` of SGA paper eq. 7); with a `floor` to less.
    """

    slots: Float[Tensor, "batch slots dim"]
    attention: Float[Tensor, "batch tokens slots"]
    weights: Float[Tensor, "batch tokens slots"]


class SlotAttention(nn.Module):
    """Iterative attention whose softmax runs over the slots (Locatello et al. 2020; SGA paper eqs. 5 to 7).

    Each of T iterations lets the slots ask (`Q = W_q S`), the tokens answer (`K = W_k H`), normalises each
    token's answers over the slots (eq. 6) and makes each slot the weighted mean of the values `V = W_v H` of
    its tokens (eqs. 5 and 7). Nothing in it knows the order of the tokens, and the slots differ only in where
    they start.

    Tokens are never projected. `K Q^T = H (Q W_k)^T` and `A^T V = (A^T H) W_v^T` are the same numbers, and
    there are far fewer slots than tokens. Everything is computed in the dtype of the parameters, also inside
    autocast.

    Args:
        token_dim: Width C of the tokens.
        dim: Width D of the slots.
        slots: L.
        iterations: T.
        update: `mean` is eq. 7: the weighted mean is the new slot. `gru` gives it to a gated recurrent unit
            whose state is the slot, then adds a two-layer network of the result, as Locatello et al. do.
        normalize: What is brought to mean 0 and variance 1 before it is projected: `both` tokens and slots,
            as Locatello et al. do, only the `tokens`, or `none`, as eq. 5 says. Scale and shift are not
            learned: the projections contain the scale, and a shift of all slots leaves the softmax as it is.
        init: Gaussian the slots start from, with learned mean and deviation: `shared` by all slots, as in
            Locatello et al., or one `per-slot`.
        hidden: Width of the network of `gru`; 2D if left out.
        floor: Share of a sample's tokens that is added to the total by which eq. 7 divides; 0 is eq. 7, where
            a slot with a hundredth of a concept's attention is as good as the slot with the rest. Above 0 a
            slot is the shorter the less attention it has. Where slots are not normalised it asks softly
            and loses further: one slot wins each concept, and void slots come out near zero.
        eps: Attention that every slot has for every token besides, so that with `floor=0` a slot nothing
            attends to becomes the mean of the tokens.

    Raises:
        InputError: A size or `eps` is not positive, `floor` is negative, or an option is unknown.
    """

    def __init__(
        self,
        token_dim: int,
        dim: int,
        *,
        slots: int,
        iterations: int = 3,
        update: Literal["mean", "gru"] = "mean",
        normalize: Literal["none", "tokens", "both"] = "both",
        init: Literal["shared", "per-slot"] = "shared",
        hidden: int | None = None,
        floor: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        hidden = 2 * dim if hidden is None else hidden
        where = "SlotAttention"
        at_least(where, 1, token_dim=token_dim, dim=dim, slots=slots, iterations=iterations, hidden=hidden)
        one_of(where, ("mean", "gru"), update=update)
        one_of(where, ("shared", "per-slot"), init=init)
        one_of(where, ("none", "tokens", "both"), normalize=normalize)
        at_least(where, 0, floor=floor)
        positive(where, eps=eps)
        self.slots, self.iterations, self.normalize = slots, iterations, normalize
        self.floor, self.eps = floor, eps
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(token_dim, dim, bias=False)
        self.value = nn.Linear(token_dim, dim, bias=False)
        self.update = GatedUpdate(dim, hidden) if update == "gru" else None
        starts = 1 if init == "shared" else slots
        self.mean = nn.Parameter(nn.init.xavier_uniform_(torch.empty(starts, dim)))
        self.log_deviation = nn.Parameter(nn.init.xavier_uniform_(torch.empty(starts, dim)))

    def initial_slots(
        self, batch: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch slots dim"]:
        """Draw the slots that the first iteration starts from; gradients reach mean and deviation.

        Args:
            batch: Samples B.
            generator: CPU generator of the draw, the same numbers on every device.
        """
        draws = ClipDraws.of(batch, generator, device=self.mean.device)
        noise = draws.normal(self.slots, self.mean.shape[1])
        return self.mean + self.log_deviation.exp() * noise.to(self.mean)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens channels"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
        *,
        initial: Float[Tensor, "batch slots dim"],
    ) -> SlotAssignment:
        """Assign the tokens of each sample to slots.

        Args:
            tokens: `[B, N, C]`, finite at padding too.
            mask: `[B, N]`, True where a token is real. A sample without any has weights of 0, and with the
                `mean` update slots of 0.
            initial: `[B, L, D]`, such as `initial_slots` draws.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            tokens, slots = tokens.to(self.mean.dtype), initial.to(self.mean.dtype)
            if self.normalize != "none":
                tokens = F.layer_norm(tokens, tokens.shape[-1:])
            # W_q^T W_k / sqrt(D): what a slot asks of a token, without the space where they meet.
            asks = (self.query.weight.t() @ self.key.weight) * slots.shape[-1] ** -0.5
            real = torch.ones_like(tokens[..., 0]) if mask is None else mask.to(tokens.dtype)
            real = real.unsqueeze(1)
            floor = self.floor * real.sum(2, keepdim=True)
            for _ in range(self.iterations):
                asking = F.layer_norm(slots, slots.shape[-1:]) if self.normalize == "both" else slots
                attention = ((asking @ asks) @ tokens.mT).softmax(1)
                weights = (attention + self.eps) * real
                weights = weights / (weights.sum(2, keepdim=True) + floor).clamp(min=self.eps)
                means = self.value(weights @ tokens)
                slots = means if self.update is None else self.update(means, slots)
            attention = attention * real
        return SlotAssignment(slots, attention.mT, weights.mT)


class GatedUpdate(nn.Module):
    """A gated recurrent unit whose state is the slot, then `s + MLP(LN(s))` (Locatello et al. 2020).

    Args:
        dim: Width D of the slots.
        hidden: Width of the network.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRUCell(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, hidden)
        self.contract = nn.Linear(hidden, dim)

    def forward(
        self, means: Float[Tensor, "batch slots dim"], slots: Float[Tensor, "batch slots dim"]
    ) -> Float[Tensor, "batch slots dim"]:
        """The slots after they have seen the weighted means of their tokens."""
        state: Tensor = self.gru(means.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        change: Tensor = self.contract(F.relu(self.expand(self.norm(state))))
        return state + change
