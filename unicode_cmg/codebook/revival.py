"""Starting points for codes that nobody uses: vectors drawn from the current batch of all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unicode_cmg.ranks import rank_and_world, sum_over_ranks


@dataclass(frozen=True)
class Places:
    """Vectors of this rank's batch on which a code may start, flattened with the batch axis outermost.

    Attributes:
        vectors: `[places, D]`.
        valid: `[places]`, False at padding.
    """

    vectors: Float[Tensor, "places dim"]
    valid: Bool[Tensor, " places"]

    @classmethod
    def of(
        cls,
        features: Sequence[Float[Tensor, "batch _ dim"]],
        valid: Sequence[Float[Tensor, "batch _"]],
        own_weight: float,
    ) -> Places:
        """The mean of the modalities at each step if they pull each other's codes, else each feature itself.

        The mean is where the average choice of that step pulls. Where the modalities lie apart, a code on one
        of them would serve that modality alone; from the mean it is within the reach of all.
        """
        if own_weight < 1:
            present = reduce(torch.add, valid)
            means = reduce(torch.add, features) / present.clamp(min=1).unsqueeze(-1)
            return cls(means.flatten(0, 1), present.flatten() > 0)
        return cls(torch.cat(tuple(features), 1).flatten(0, 1), torch.cat(tuple(valid), 1).flatten() > 0)

    def spread(self) -> Float[Tensor, ""]:
        """Root mean square distance of the valid vectors of all ranks to their mean."""
        valid = self.valid.unsqueeze(-1).to(self.vectors.dtype)
        count, total = sum_over_ranks(valid.sum(), (self.vectors * valid).sum(0))
        shifted = (self.vectors - total / count.clamp(min=1)) * valid
        (squares,) = sum_over_ranks(shifted.square().sum())
        return (squares / count.clamp(min=1)).sqrt()

    def by_rank(self) -> Float[Tensor, " world"]:
        """The number of valid places at the position of this rank; the sum over ranks has all numbers."""
        rank, world = rank_and_world()
        numbers = self.vectors.new_zeros(world)
        numbers[rank] = self.valid.sum()
        return numbers

    def drawn(
        self,
        dead: Bool[Tensor, " codes"],
        draws: Float[Tensor, " codes"],
        places_by_rank: Float[Tensor, " world"],
    ) -> Float[Tensor, "codes dim"]:
        """A vector for each dead code that draws a place of this rank; zeros for all other codes.

        The valid places of all ranks, in order, are cut into as many equal strata as there are dead codes,
        and each code draws from its own stratum: with enough places, codes revived together start apart.

        Args:
            dead: Codes that start again.
            draws: U[0, 1) draws, the same on every rank.
            places_by_rank: `by_rank`, summed over ranks.
        """
        total, strata = places_by_rank.sum(), dead.cumsum(0)
        drawn = ((strata - 1 + draws) * (total / strata[-1].clamp(min=1))).long()
        drawn = torch.minimum(drawn, total.long() - 1)
        position = drawn - places_by_rank[: rank_and_world()[0]].sum().long()
        seen = self.valid.cumsum(0)
        here = dead & (position >= 0) & (position < seen[-1])
        rows = torch.searchsorted(seen, position, right=True).clamp_(max=len(seen) - 1)
        return self.vectors[rows] * here.unsqueeze(-1)


def draws_of_rank_0(
    shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device
) -> Float[Tensor, "*shape"]:
    """Float32 draws from U[0, 1) on rank 0 and zeros elsewhere; the sum over ranks is the same on all.

    They are drawn where the generator lives, and no device waits for them.
    """
    source = device if generator is None else generator.device
    draws = torch.rand(shape, generator=generator, device=source).to(device, non_blocking=True)
    return draws if rank_and_world()[0] == 0 else torch.zeros_like(draws)
