"""What one batch says about the codes: who chose which code, and where its choosers would pull it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Steps:
    """The features of one modality, with padding emptied.

    Attributes:
        features: `[B, T, D]`, zero where not valid.
        valid: `[B, T]`, 1 where a step is real and 0 where it is padding, in the dtype of the features.
    """

    features: Float[Tensor, "batch time dim"]
    valid: Float[Tensor, "batch time"]

    @classmethod
    def of(cls, features: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"] | None) -> Steps:
        """Empty the padding, which may hold anything, even NaN."""
        if mask is None:
            return cls(features, torch.ones_like(features[..., 0]))
        return cls(features.masked_fill(~mask.unsqueeze(-1), 0), mask.to(features.dtype))


@dataclass(frozen=True)
class Assignments:
    """Every choice of a code by one modality.

    Attributes:
        targets: `[choices, D]` the vector that pulls the chosen code; zero where not valid.
        codes: `[choices]` the chosen code.
        valid: `[choices]` 1 where the choice counts and 0 at padding, in the dtype of `targets`.
    """

    targets: Float[Tensor, "choices dim"]
    codes: Int64[Tensor, " choices"]
    valid: Float[Tensor, " choices"]

    def add_to(self, counts: Float[Tensor, " codes"], sums: Float[Tensor, "codes dim"]) -> None:
        """Add how often each code was chosen, and the targets that pull it, in place."""
        counts.index_add_(0, self.codes, self.valid)
        sums.index_add_(0, self.codes, self.targets)


def assignments_by_modality(
    steps: Sequence[Steps], indices: Sequence[Int64[Tensor, "batch _ ..."]], own_weight: float
) -> list[Assignments]:
    """The pull of each choice: `own_weight` of it from the feature that chose, the rest from its companions.

    Companions are the features of the other modalities at the same step of the same clip; those that are
    valid share `1 - own_weight` equally. Without a valid companion the feature itself takes the whole weight,
    so each choice pulls with a total weight of one.
    """
    alone = own_weight == 1 or len(steps) == 1
    targets = [s.features for s in steps] if alone else _mixed(steps, own_weight)
    return [
        Assignments(target.flatten(0, 1), index.flatten(), s.valid.flatten())
        for s, target, index in zip(steps, targets, indices, strict=True)
    ]


def _mixed(steps: Sequence[Steps], own_weight: float) -> list[Float[Tensor, "batch time dim"]]:
    """Each feature averaged with its companions; zero where it is not valid itself."""
    total, present = sum_of_modalities(steps)
    mixed = []
    for s in steps:
        companions = present - s.valid
        share = torch.where(companions > 0, (1 - own_weight) / companions.clamp(min=1), 0)
        own = 1 - companions * share
        # own x + share (total - x), with x taken out of the total
        scaled = s.features * (s.valid * (own - share)).unsqueeze(-1)
        mixed.append(torch.addcmul(scaled, total, (s.valid * share).unsqueeze(-1)))
    return mixed


def sum_of_modalities(
    steps: Sequence[Steps],
) -> tuple[Float[Tensor, "batch time dim"], Float[Tensor, "batch time"]]:
    """At each step, the sum of the valid features and their number."""
    features, valid = [s.features for s in steps], [s.valid for s in steps]
    return sum(features[1:], features[0]), sum(valid[1:], valid[0])
