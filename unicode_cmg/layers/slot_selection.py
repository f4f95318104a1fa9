"""Adaptive slots: a small network decides, sample by sample, which slots stand for something."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.draws import ClipDraws
from unicode_cmg.errors import at_least, positive


@dataclass(frozen=True)
class SlotDecision:
    """Which slots of each sample are kept.

    Attributes:
        keep: `[B, L]`, exactly 0 or 1 (`Z` of SGA paper eq. 9); in training its gradient is that of the
            relaxed decision.
        probability: `[B, L]` in (0, 1), that a slot is kept (`pi_{i,1}` of eq. 8).
    """

    keep: Float[Tensor, "batch slots"]
    probability: Float[Tensor, "batch slots"]


class SlotSelection(nn.Module):
    """Keep or drop each slot (AdaSlot, Fan et al., CVPR 2024; SGA paper eqs. 8 and 9).

    Every slot is scored on its own by two linear layers with a ReLU between (eq. 8). In training a
    Gumbel-softmax of the two scores decides, with a straight-through gradient (eq. 9). In evaluation a slot
    is kept where its probability exceeds one half; the released AdaSlot draws there too.

    Args:
        dim: Width D of the slots.
        hidden: Width of the hidden layer; D if left out.
        temperature: Of the relaxed decision; the smaller, the closer its gradient is to a step's.
        minimum: Slots kept at least. The most probable of the dropped ones make up for what is missing,
            without gradient; the released AdaSlot draws them evenly, and by default lets all slots drop.
        normalize: Whether a layer norm comes first, as in AdaSlot. It hides the length of a slot, which tells
            void slots from others where slot attention has a `floor`.

    Raises:
        InputError: A size or the temperature is not positive.
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: int | None = None,
        temperature: float = 1.0,
        minimum: int = 1,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        width = dim if hidden is None else hidden
        at_least("SlotSelection", 1, dim=dim, hidden=width, minimum=minimum)
        positive("SlotSelection", temperature=temperature)
        self.temperature, self.minimum = temperature, minimum
        self.norm = nn.LayerNorm(dim) if normalize else nn.Identity()
        self.hidden = nn.Linear(dim, width)
        self.score = nn.Linear(width, 2)

    def forward(
        self, slots: Float[Tensor, "batch slots dim"], *, generator: torch.Generator | None = None
    ) -> SlotDecision:
        """Decide for each slot.

        Args:
            slots: `[B, L, D]`.
            generator: CPU generator of the Gumbel noise; not used in evaluation.

        Raises:
            InputError: There are fewer slots than must be kept.
        """
        at_least("SlotSelection", self.minimum, slots=slots.shape[1])
        with torch.autocast(slots.device.type, enabled=False):
            scores = self.score(F.relu(self.hidden(self.norm(slots.to(self.score.weight.dtype)))))
            # The softmax of two scores is the sigmoid of their difference, and so is its Gumbel form.
            logit = scores[..., 1] - scores[..., 0]
            probability = logit.sigmoid()
            if not self.training:
                return SlotDecision(self._enough(probability > 0.5, probability).to(logit), probability)
            # the difference of two Gumbel numbers is a logistic one
            noise = ClipDraws.of(len(slots), generator, device=slots.device).uniform(slots.shape[1])
            relaxed = ((logit + noise.logit().to(logit)) / self.temperature).sigmoid()
            chosen = relaxed > 0.5
            kept = self._enough(chosen, probability)
            # A zero with a gradient: the decision stays exactly 0 or 1.
            through = (relaxed - relaxed.detach()).masked_fill(kept & ~chosen, 0)
            return SlotDecision(kept.to(logit) + through, probability)

    def _enough(
        self, chosen: Bool[Tensor, "batch slots"], probability: Float[Tensor, "batch slots"]
    ) -> Bool[Tensor, "batch slots"]:
        """The chosen slots and, where they are too few, the most probable of the others."""
        first = (chosen + probability.detach()).topk(self.minimum, dim=1).indices
        return chosen.scatter(1, first, True)
