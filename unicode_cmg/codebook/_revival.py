"""Where a code that nobody uses starts again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unicode_cmg.codebook._assignments import Steps, sum_of_modalities

_ACTIVE_WITHIN = 100  # updates; a released revival copies a code that was used more recently than this


@dataclass(frozen=True)
class Places:
    """Vectors of a batch on which a code may start, flattened with the batch axis outermost.

    Attributes:
        vectors: `[places, D]`.
        valid: `[places]`, False at padding.
    """

    vectors: Float[Tensor, "places dim"]
    valid: Bool[Tensor, " places"]

    @classmethod
    def of(cls, steps: Sequence[Steps], own_weight: float) -> Places:
        """The mean of the modalities at each step if they pull each other's codes, else each feature itself.

        The mean is where the average choice of that step pulls. Where the modalities lie apart, a code on one
        of them would serve that modality alone; from the mean it is within the reach of all.
        """
        if own_weight < 1:
            total, present = sum_of_modalities(steps)
            means = total / present.clamp(min=1).unsqueeze(-1)
            return cls(means.flatten(0, 1), present.flatten() > 0)
        features = torch.cat([s.features for s in steps], dim=1)
        valid = torch.cat([s.valid for s in steps], dim=1)
        return cls(features.flatten(0, 1), valid.flatten() > 0)

    def at(self, positions: Int64[Tensor, " picked"]) -> Float[Tensor, "picked dim"]:
        """The n-th valid vectors; zeros where there is none."""
        seen = self.valid.cumsum(0)
        here = (positions >= 0) & (positions < seen[-1])
        rows = torch.searchsorted(seen, positions, right=True).clamp_(max=len(seen) - 1)
        return self.vectors[rows] * here.unsqueeze(-1)


def uniform(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Float32 draws from U[0, 1) on `device`, made where the generator lives; no device waits for them."""
    source = device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=source).to(device, non_blocking=True)


def positions_of_dead(
    dead: Bool[Tensor, " codes"],
    draws: Float[Tensor, " codes"],
    places_by_rank: Float[Tensor, " world"],
    rank: int,
) -> Int64[Tensor, " codes"]:
    """For each dead code the n of an n-th valid place of this rank; -1 for other codes and other ranks.

    The places of all ranks, in order, are cut into as many equal strata as there are dead codes, and each
    code draws from its own stratum: with enough places, codes revived together start apart.
    """
    total = places_by_rank.sum()
    strata = dead.cumsum(0)
    drawn = ((strata - 1 + draws) * (total / strata[-1].clamp(min=1))).long()
    drawn = torch.minimum(drawn, total.long() - 1)
    local = drawn - places_by_rank[:rank].sum().long()
    return torch.where(dead, local, -1)


def reset(
    embedding: Float[Tensor, "codes dim"],
    ema_count: Float[Tensor, " codes"],
    ema_weight: Float[Tensor, "codes dim"],
    dead: Bool[Tensor, " codes"],
    fresh: Float[Tensor, "codes dim"],
) -> None:
    """Put each dead code on its row of `fresh`, in place, as if one choice had put it there."""
    rows = dead.unsqueeze(-1)
    embedding.copy_(torch.where(rows, fresh, embedding))
    ema_weight.copy_(torch.where(rows, fresh, ema_weight))
    ema_count.masked_fill_(dead, 1)


def near_active_codes(
    embedding: Float[Tensor, "codes dim"],
    idle: Int64[Tensor, " codes"],
    dead: Bool[Tensor, " codes"],
    draws: Float[Tensor, " codes"],
    noise: Float[Tensor, "codes dim"],
) -> None:
    """The released revival, in place: each dead code becomes a copy of an active code plus noise.

    Args:
        embedding: Codewords; the only state that is written, as in the released code.
        idle: Updates since last use, or since the start; codes under 100 are active.
        dead: Codes to revive. They stay as they are when no code is active.
        draws: U[0, 1) draws that pick the active code.
        noise: What is added to the copy.
    """
    active = (idle < _ACTIVE_WITHIN) & ~dead
    number = active.sum()
    by_rank = torch.argsort(
        active.logical_not().long(), stable=True
    )  # active codes first, in ascending order
    chosen = by_rank[torch.minimum((draws * number).long(), (number - 1).clamp(min=0))]
    copies = embedding[chosen] + noise.to(embedding.dtype)
    embedding.copy_(torch.where((dead & (number > 0)).unsqueeze(-1), copies, embedding))
