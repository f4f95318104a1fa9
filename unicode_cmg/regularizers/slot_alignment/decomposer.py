"""One set of tokens into slots, which of them are kept, and how well they stand for the tokens."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.layers import SlotAssignment, SlotAttention, SlotDecision, SlotSelection
from unicode_cmg.regularizers.slot_alignment.config import AlignerConfig
from unicode_cmg.regularizers.slot_alignment.decoder import SlotDecoder, kept_shares, mixture_errors
from unicode_cmg.regularizers.slot_alignment.records import Decomposition, Tokens
from unicode_cmg.regularizers.slot_alignment.voids import chosen_first, without_void

FIRST_KEEP_LOGIT = 2.0
"""Log-odds of keeping a slot before anything is learned: the selection finds out what it can do without."""


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
        return Decomposition(
            free.slots, decision.keep, decision.probability, free.attention, free.weights, held
        )

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
