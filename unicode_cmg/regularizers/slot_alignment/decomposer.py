"""One set of tokens into slots, which of them are kept, and the tokens rebuilt from those that are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.layers import SlotAssignment, SlotAttention, SlotDecision, SlotSelection
from unicode_cmg.ranks import mean_of_batch
from unicode_cmg.regularizers.slot_alignment.config import AlignerConfig
from unicode_cmg.regularizers.slot_alignment.records import Decomposition, Tokens

FIRST_KEEP_LOGIT = 2.0
"""Log-odds of keeping a slot before anything is learned: the selection finds out what it can do without."""

EPS = 1e-5
"""Added to the attention that the kept slots of a token have together (AdaSlot's constant)."""


class Decomposer(nn.Module):
    """Slot attention, the selection and a decoder for one kind of tokens (SGA paper, section 3.2).

    Args:
        config: Sizes and switches.
        token_dim: Width C of the tokens.
        dim: Width D of the slots.
    """

    def __init__(self, config: AlignerConfig, token_dim: int, dim: int) -> None:
        super().__init__()
        self.token_dim, self._drop_void = token_dim, config.drop_void
        self.attention = SlotAttention(
            token_dim,
            dim,
            slots=config.slots,
            iterations=config.iterations,
            update=config.update,
            init=config.init,
            normalize=config.normalize,
            floor=config.floor,
        )
        self.selection = (
            SlotSelection(
                dim,
                temperature=config.selection_temperature,
                minimum=config.minimum,
                normalize=config.floor == 0,
            )
            if config.adaptive
            else None
        )
        if self.selection is not None:
            with torch.no_grad():
                self.selection.score.bias.copy_(torch.tensor([0.0, FIRST_KEEP_LOGIT]))
        self.decoder = SlotDecoder(dim, token_dim)

    def forward(self, tokens: Tokens, *, generator: torch.Generator) -> Decomposition:
        """Decompose the tokens of each sample.

        In training every sample starts from slots of its own; in evaluation all start from the same ones, so
        that the slots of a sample do not depend on its place in the batch.

        Args:
            tokens: `C` channels wide.
            generator: CPU generator of the slots' start and of the selection.
        """
        tokens, batch = tokens.cleared(), len(tokens.mask)
        initial = self.attention.initial_slots(batch if self.training else 1, generator)
        initial = initial.expand(batch, -1, -1)
        free = held = self.attention(tokens.values, tokens.mask, initial=initial)
        if tokens.values.requires_grad:
            held = self.attention(tokens.values.detach(), tokens.mask, initial=initial)
        decision = self._decide(held, tokens.mask, generator)
        return Decomposition(**vars(free), **vars(decision), held=held)

    def reconstruction(self, tokens: Tokens, decomposition: Decomposition) -> Float[Tensor, ""]:
        """Mean squared error of the tokens rebuilt from the slots; the tokens are constants to it.

        What is rebuilt are tokens of mean 0 and variance 1, as slot attention reads them: a teacher whose
        features are large weighs no more than another. The place of a token is not known, so a slot gives one
        vector for all its tokens, and each token mixes those by its attention.

        With adaptive slots the error is the mean of two: with the attention shared out among the kept slots
        alone, as in AdaSlot, and among all of them. The second one teaches the slots what they stand for
        while the selection still knows nothing; AdaSlot starts from a model trained that way.

        Args:
            tokens: What was decomposed.
            decomposition: What came of it.
        """
        held = decomposition.held
        with torch.autocast(held.slots.device.type, enabled=False):
            values = tokens.cleared().values.detach().to(held.slots.dtype)
            shares = [held.attention]
            if self.selection is not None:
                shares.append(kept_shares(held.attention, decomposition.keep))
            errors = mixture_errors(
                F.layer_norm(values, values.shape[-1:]), tokens.mask, shares, self.decoder(held.slots)
            )
        return errors.mean()

    def _decide(
        self,
        held: SlotAssignment,
        mask: Bool[Tensor, "batch tokens"],
        generator: torch.Generator,
    ) -> SlotDecision:
        """Which slots are kept, on slots that carry no graph of the tokens."""
        if self.selection is None:
            every = torch.ones_like(held.slots[..., 0])
            return SlotDecision(every, every)
        decision: SlotDecision = self.selection(held.slots, generator=generator)
        if not self._drop_void:
            return decision
        chosen = chosen_first(held.attention, mask)
        keep = without_void(decision.keep, decision.probability, chosen, self.selection.minimum)
        return SlotDecision(keep, decision.probability * chosen)


class SlotDecoder(nn.Module):
    """From a slot to the token it stands for: layer norm and two linear layers with a ReLU between.

    Args:
        dim: Width D of the slots.
        token_dim: Width C of the tokens.
    """

    def __init__(self, dim: int, token_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.hidden = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, token_dim)

    def forward(self, slots: Float[Tensor, "batch slots dim"]) -> Float[Tensor, "batch slots channels"]:
        """One token for each slot."""
        rebuilt: Tensor = self.out(F.relu(self.hidden(self.norm(slots))))
        return rebuilt


def kept_shares(
    attention: Float[Tensor, "batch tokens slots"], keep: Float[Tensor, "batch slots"]
) -> Float[Tensor, "batch tokens slots"]:
    """The attention of each token shared out among the kept slots alone (AdaSlot's normalised mask).

    Args:
        attention: Sums to 1 over the slots, or is 0 throughout at padding.
        keep: 1 for a slot that is kept, 0 for one that is dropped.
    """
    kept = attention * keep.unsqueeze(1)
    return kept / (kept.sum(2, keepdim=True) + EPS)


def mixture_errors(
    tokens: Float[Tensor, "batch tokens channels"],
    mask: Bool[Tensor, "batch tokens"],
    shares: Sequence[Float[Tensor, "batch tokens slots"]],
    parts: Float[Tensor, "batch slots channels"],
) -> Float[Tensor, " shares"]:
    """Mean squared errors of mixtures `shares @ parts` of the tokens, over every element of the valid ones.

    The square is multiplied out, `|t|² - 2 t·Sp + |Sp|²`, and summed over tokens before the parts come in.
    There are far fewer slots than tokens; the mixtures, each as large as the tokens, are never made.

    Args:
        tokens: What the mixtures should be; 0 at padding.
        mask: True where a token is real.
        shares: For each mixture, the share of each slot in each token; 0 at padding.
        parts: What each slot gives.
    """
    energy = tokens.square().sum()
    gram = parts @ parts.mT
    crosses = torch.cat(list(shares), dim=2).mT @ tokens
    totals = [
        energy - 2 * (cross * parts).sum() + ((share.mT @ share) * gram).sum()
        for share, cross in zip(shares, torch.split(crosses, parts.shape[1], dim=1), strict=True)
    ]
    return mean_of_batch(torch.stack(totals), mask.sum() * tokens.shape[2])


def chosen_first(
    attention: Float[Tensor, "batch tokens slots"], mask: Bool[Tensor, "batch tokens"]
) -> Bool[Tensor, "batch slots"]:
    """Slots that have the largest attention of at least one token; of equal ones the first."""
    slots = torch.arange(attention.shape[2], device=attention.device)
    first = attention.argmax(2, keepdim=True) == slots
    return (first & mask.unsqueeze(2)).any(1)


def without_void(
    keep: Float[Tensor, "batch slots"],
    probability: Float[Tensor, "batch slots"],
    chosen: Bool[Tensor, "batch slots"],
    minimum: int,
) -> Float[Tensor, "batch slots"]:
    """`keep` with the void slots dropped.

    Args:
        keep: 0 or 1, usually with a straight-through gradient.
        probability: Of being kept; where slots are missing, the most probable ones are added without
            gradient, void ones last.
        chosen: True where a slot is not void.
        minimum: Slots that stay at least.
    """
    kept = keep * chosen
    rank = 2 * kept.detach() + chosen + probability.detach()
    needed = torch.zeros_like(chosen).scatter(1, rank.topk(minimum, dim=1).indices, True)
    return kept.masked_fill(needed & (kept < 0.5), 1)
