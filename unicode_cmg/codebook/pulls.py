"""What one batch says about the codes: who chose which, and the vectors that pull them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Choices:
    """The choices of codes by one modality, with padding emptied.

    Attributes:
        features: `[B, T, D]`, zero where not valid.
        valid: `[B, T]`, 1 where a step is real and 0 where it is padding, in the dtype of the features.
        codes: `[B * T]`, the chosen code of each step.
    """

    features: Float[Tensor, "batch time dim"]
    valid: Float[Tensor, "batch time"]
    codes: Int64[Tensor, " steps"]

    @classmethod
    def of(
        cls,
        features: Float[Tensor, "batch time dim"],
        indices: Int64[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None,
    ) -> Choices:
        """Empty the padding, which may hold anything, even NaN."""
        if mask is None:
            return cls(features, torch.ones_like(features[..., 0]), indices.flatten())
        emptied = features.masked_fill(~mask.unsqueeze(-1), 0)
        return cls(emptied, mask.to(features.dtype), indices.flatten())

    def add_to(
        self,
        counts: Float[Tensor, " codes"],
        sums: Float[Tensor, "codes dim"],
        pull: Float[Tensor, "batch time dim"],
    ) -> None:
        """Add how often each code was chosen and the vectors that pull it, in place."""
        counts.index_add_(0, self.codes, self.valid.flatten())
        sums.index_add_(0, self.codes, pull.flatten(0, 1))


def pulls(choices: Sequence[Choices], own_weight: float) -> list[Float[Tensor, "batch time dim"]]:
    """For each modality the vectors that pull the codes it chose, zero where a choice is not valid.

    `own_weight` of a pull comes from the feature that chose, the rest from its companions: the features of
    the other modalities at the same step of the same clip. Those that are valid share `1 - own_weight`
    equally. Without a valid companion the feature itself takes the whole weight, so each choice pulls with a
    total weight of one.
    """
    if own_weight == 1:
        return [c.features for c in choices]
    total = reduce(torch.add, (c.features for c in choices))
    present = reduce(torch.add, (c.valid for c in choices))
    mixed = []
    for c in choices:
        companions = present - c.valid
        share = torch.where(companions > 0, (1 - own_weight) / companions.clamp(min=1), 0)
        own = 1 - companions * share
        # own x + share (total - x), with x taken out of the total
        scaled = c.features * (c.valid * (own - share)).unsqueeze(-1)
        mixed.append(torch.addcmul(scaled, total, (c.valid * share).unsqueeze(-1)))
    return mixed


def laplace_smoothing(count: Float[Tensor, " codes"], epsilon: float) -> Float[Tensor, " codes"]:
    """Counts moved towards their mean, so that none is zero; same sum: `(n + eps) / (N + H eps) N`."""
    total = count.sum()
    return (count + epsilon) / (total + len(count) * epsilon) * total
