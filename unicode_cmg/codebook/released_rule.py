"""The shared codebook under the update rule of the released code, number for number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unicode_cmg.codebook.pulls import laplace_smoothing, pulls
from unicode_cmg.codebook.quantizer import Features, Generator, Indices, Masks
from unicode_cmg.codebook.revival import draws_of_rank_0
from unicode_cmg.codebook.shared import SharedCodebook
from unicode_cmg.ranks import sum_over_ranks

_ACTIVE_WITHIN = 100  # updates; a revival copies a code that was used more recently than this


class ReleasedSharedCodebook(SharedCodebook):
    """One full update per modality in the order of `modalities`, each with its own decay and smoothing.

    Counts start at zero, so the first update divides the untouched codes by about `epsilon`. Idle codes are
    counted and revived in eval mode too. A revived codeword is a copy of an active one plus noise, and only
    `embedding` is written, so the next update undoes it unless some vector chose it meanwhile.

    Args:
        num_codes: Number of codewords H.
        dim: Width of a codeword D.
        modalities: Names of the modalities in the order of their updates.
        decay: Share of the running averages that survives the update of one modality.
        epsilon: Laplace smoothing of the counts.
        own_weight: As in `SharedCodebook`.
        revive_after: Updates without use after which a code is dead; None never revives.
        revive_noise: Bounds of the uniform noise of a revival; the FCID code has both at -1/1024.

    Raises:
        InputError: An argument is out of range.
    """

    def __init__(
        self,
        num_codes: int,
        dim: int,
        modalities: Sequence[str],
        *,
        decay: float = 0.99,
        epsilon: float = 1e-5,
        own_weight: float = 0.5,
        revive_after: int | None = 300,
        revive_noise: tuple[float, float] = (-1 / 1024, 1 / 1024),
    ) -> None:
        super().__init__(
            num_codes,
            dim,
            modalities,
            decay=decay,
            epsilon=epsilon,
            own_weight=own_weight,
            revive_after=revive_after,
        )
        self.revive_noise = revive_noise
        self.ema_count.zero_()
        self.idle.fill_(-1)

    @torch.no_grad()
    def update(
        self, features: Features, indices: Indices, masks: Masks = None, *, generator: Generator = None
    ) -> None:
        """Move the codes one modality after the other in training; count idle codes and revive always.

        Arguments and errors are those of `Quantizer.update`.
        """
        choices = self._choices(features, indices, masks)
        counts = self.ema_count.new_zeros(len(choices), self.num_codes)
        sums = self.ema_weight.new_zeros(len(choices), self.num_codes, self.dim)
        for k, pull in enumerate(pulls(choices, self.own_weight)):
            choices[k].add_to(counts[k], sums[k], pull)
        counts, sums = sum_over_ranks(counts, sums)
        if self.training:
            for count, total in zip(counts, sums, strict=True):
                self._move(count, total)
        self.idle.copy_(torch.where(counts.sum(0) > 0, 0, self.idle + 1))
        if self.revive_after is not None:
            self._revive_near_active_codes(generator)

    def _move(self, counts: Float[Tensor, " codes"], sums: Float[Tensor, "codes dim"]) -> None:
        """The update of one modality; the smoothed count becomes the running count.

        A modality that no clip of the batch has changes nothing. The released code knows no such batch; its
        first update would divide by a count of zero.
        """
        some = counts.sum() > 0
        running = laplace_smoothing(self.ema_count * self.decay + counts * (1 - self.decay), self.epsilon)
        weight = (self.ema_weight * self.decay).add_(sums, alpha=1 - self.decay)
        moved = weight / running.unsqueeze(-1)
        for state, new in ((self.ema_count, running), (self.ema_weight, weight), (self.embedding, moved)):
            state.copy_(torch.where(some, new, state))

    def _revive_near_active_codes(self, generator: torch.Generator | None) -> None:
        """Each dead code becomes a copy of an active code plus noise; it stays if no code is active."""
        dead = self._dead()
        draws, noise = self._draws(generator)
        active = (self.idle < _ACTIVE_WITHIN) & ~dead
        number = active.sum()
        active_first = torch.argsort(active.logical_not().long(), stable=True)
        chosen = active_first[torch.minimum((draws * number).long(), (number - 1).clamp(min=0))]
        copies = self.embedding[chosen] + noise.to(self.embedding.dtype)
        self.embedding.copy_(torch.where((dead & (number > 0)).unsqueeze(-1), copies, self.embedding))
        self.idle.masked_fill_(dead, 0)

    def _draws(
        self, generator: torch.Generator | None
    ) -> tuple[Float[Tensor, " codes"], Float[Tensor, "codes dim"]]:
        """U[0, 1) draws that pick an active code and the noise, those of rank 0 on every rank, float32."""
        low, high = self.revive_noise
        draws, noise = sum_over_ranks(
            *(
                draws_of_rank_0(shape, generator, self.embedding.device)
                for shape in ((self.num_codes,), (self.num_codes, self.dim))
            )
        )
        return draws, low + (high - low) * noise
