"""What one batch says about the codes: who chose which code, and where its choosers would pull it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Assignments:
    """Every choice of a code in a batch of one or several modalities, flattened with the batch axis
    outermost.

    Attributes:
        targets: `[choices, D]` the vector that pulls the chosen code; zero where not valid.
        codes: `[choices]` the chosen code.
        valid: `[choices]` 1 where the choice counts and 0 at padding, in the dtype of `targets`.
    """

    targets: Float[Tensor, "choices dim"]
    codes: Int64[Tensor, " choices"]
    valid: Float[Tensor, " choices"]

    def counts(self, num_codes: int) -> Float[Tensor, " codes"]:
        """How often each code was chosen."""
        return self.valid.new_zeros(num_codes).index_add_(0, self.codes, self.valid)

    def sums(self, num_codes: int) -> Float[Tensor, "codes dim"]:
        """The sum of the targets that pull each code."""
        zeros = self.targets.new_zeros(num_codes, self.targets.shape[-1])
        return zeros.index_add_(0, self.codes, self.targets)

    def at(self, positions: Int64[Tensor, " picked"]) -> Float[Tensor, "picked dim"]:
        """Targets of the n-th valid choices; zeros where there is none."""
        seen = self.valid.cumsum(0, dtype=torch.int64)
        here = (positions >= 0) & (positions < seen[-1])
        rows = torch.searchsorted(seen, positions, right=True).clamp_(max=len(seen) - 1)
        return self.targets[rows] * here.unsqueeze(-1)


def joint(parts: Sequence[Assignments], batch: int) -> Assignments:
    """The choices of several modalities as one, ordered by clip as the batch is."""

    def by_clip(tensors: list[Tensor]) -> Tensor:
        return torch.cat([t.reshape(batch, -1, *t.shape[1:]) for t in tensors], dim=1).flatten(0, 1)

    return Assignments(
        by_clip([part.targets for part in parts]),
        by_clip([part.codes for part in parts]),
        by_clip([part.valid for part in parts]),
    )


def assignments_by_modality(
    features: Sequence[Float[Tensor, "batch _ dim"]],
    indices: Sequence[Int64[Tensor, "batch _"]],
    masks: Sequence[Bool[Tensor, "batch _"] | None],
    own_weight: float,
) -> list[Assignments]:
    """The pull of each choice: `own_weight` of it from the feature that chose, the rest from its companions.

    Companions are the features of the other modalities at the same step of the same clip; those that are
    valid share `1 - own_weight` equally. Without a valid companion the feature itself takes the whole weight,
    so each choice pulls with a total weight of one.
    """
    valid = [
        torch.ones_like(x[..., 0]) if mask is None else mask.to(x.dtype)
        for x, mask in zip(features, masks, strict=True)
    ]
    clean = [
        x if mask is None else x.masked_fill(~mask.unsqueeze(-1), 0)  # padding may hold anything, even NaN
        for x, mask in zip(features, masks, strict=True)
    ]
    targets = clean if own_weight == 1 or len(features) == 1 else _mixed(clean, valid, own_weight)
    return [
        Assignments(target.flatten(0, 1), index.flatten(), v.flatten())
        for target, index, v in zip(targets, indices, valid, strict=True)
    ]


def _mixed(
    features: Sequence[Float[Tensor, "batch time dim"]],
    valid: Sequence[Float[Tensor, "batch time"]],
    own_weight: float,
) -> list[Float[Tensor, "batch time dim"]]:
    """Each feature averaged with its companions; features are zero where not valid, and so is the result."""
    total = sum(features[1:], features[0])
    present = sum(valid[1:], valid[0])
    mixed = []
    for x, v in zip(features, valid, strict=True):
        companions = present - v
        share = torch.where(companions > 0, (1 - own_weight) / companions.clamp(min=1), 0)
        own = 1 - companions * share
        # own x + share (total - x), with x taken out of the total
        mixed.append(torch.addcmul(x * (v * (own - share)).unsqueeze(-1), total, (v * share).unsqueeze(-1)))
    return mixed
