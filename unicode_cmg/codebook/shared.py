"""The codebook that all modalities share, moved by multimodal exponential moving averages (MM-EMA)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from unicode_cmg.codebook import _ema, _revival
from unicode_cmg.codebook._assignments import Assignments, Steps, assignments_by_modality
from unicode_cmg.codebook._checks import check_batch, check_settings
from unicode_cmg.codebook.distances import squared_distances
from unicode_cmg.codebook.quantized import Lookup, Quantized
from unicode_cmg.codebook.quantizer import Quantizer
from unicode_cmg.errors import InputError
from unicode_cmg.ranks import rank_and_world, sum_over_ranks


class SharedCodebook(Quantizer):
    """`H` codewords of width `D` for all modalities (DCID paper eq. 7; TOC paper eqs. 3-4).

    Each choice of a code pulls it, with weight `own_weight`, towards the feature that chose it and, with the
    rest, towards the features of the other modalities at the same step of the same clip. State is float32
    also inside autocast and under `half()` or `bfloat16()`, and float64 after `double()`.

    Rules, where the released code and the papers part:

    * `corrected`: one update per step for all modalities together, as in the paper. Counts start at one, so
      that count, weight and codeword agree from the start; smoothed counts are used only to divide. In
      training alone, a code idle for more than `revive_after` updates moves to a step drawn from the current
      batch, onto the mean of the modalities there (onto a feature if modalities do not pull each other's
      codes), and its count and weight are reset with it. The paper asks that *each* modality use a code to
      keep it; here, as in the released code, any use does. Statistics are summed over the ranks of
      torch.distributed and revivals are the same on all ranks.
    * `released`: the released behaviour, number for number. One full update per modality in the order of
      `modalities`, each decaying and smoothing the running count anew; counts start at zero; idle codes are
      counted and revived in eval mode too; a revived codeword is a copy of an active one plus noise, and only
      `embedding` is written, so the next update undoes it unless some vector chose it meanwhile.

    Buffers: `embedding` `[H, D]`, the codewords; `ema_count` `[H]` and `ema_weight` `[H, D]`, the averages
    they are made of; `idle` `[H]`, updates since any modality used a code (`unactivated_count` in released
    checkpoints); `seeded`, whether `init="data"` has happened.

    Args:
        num_codes: Number of codewords H.
        dim: Width of a codeword D.
        modalities: Names of the modalities; their order is the order of the `released` updates.
        rule: `corrected` or `released`, see above.
        decay: Share of the running averages that survives an update.
        epsilon: Laplace smoothing of the counts.
        own_weight: Weight of the choosing feature itself, in [0, 1]; at 1 modalities do not pull each other's
            codes.
        revive_after: Updates without use after which a code is dead; None never revives.
        revive_noise: Bounds of the uniform noise of a `released` revival; the FCID code has both at -1/1024.
        init: `uniform` draws codewords from U(-1/H, 1/H), the released range at the released H = 400; `data`
            also starts there, and lets the first training update place every code on the batch, as a revival
            would. `data` needs the corrected rule.

    Raises:
        InputError: An argument is out of range.
    """

    embedding: Tensor
    ema_count: Tensor
    ema_weight: Tensor
    idle: Tensor
    seeded: Tensor

    def __init__(
        self,
        num_codes: int,
        dim: int,
        modalities: Sequence[str],
        *,
        rule: Literal["corrected", "released"] = "corrected",
        decay: float = 0.99,
        epsilon: float = 1e-5,
        own_weight: float = 0.5,
        revive_after: int | None = 300,
        revive_noise: tuple[float, float] = (-1 / 1024, 1 / 1024),
        init: Literal["uniform", "data"] = "uniform",
    ) -> None:
        super().__init__()
        check_settings(
            num_codes=num_codes,
            dim=dim,
            modalities=modalities,
            rule=rule,
            decay=decay,
            epsilon=epsilon,
            own_weight=own_weight,
            revive_after=revive_after,
            init=init,
        )
        self.num_codes, self.dim, self.modalities = num_codes, dim, tuple(modalities)
        self.rule, self.decay, self.epsilon, self.own_weight = rule, decay, epsilon, own_weight
        self.revive_after, self.revive_noise, self.init = revive_after, revive_noise, init
        embedding = torch.empty(num_codes, dim).uniform_(-1 / num_codes, 1 / num_codes)
        released = rule == "released"
        self.register_buffer("embedding", embedding)
        self.register_buffer("ema_count", torch.zeros(num_codes) if released else torch.ones(num_codes))
        self.register_buffer("ema_weight", embedding.clone())
        self.register_buffer("idle", torch.full((num_codes,), -1 if released else 0))
        self.register_buffer("seeded", torch.tensor(init == "uniform"))

    def extra_repr(self) -> str:
        return (
            f"{self.num_codes} codes of width {self.dim}, {self.rule}, init={self.init}, decay={self.decay}, "
            f"own_weight={self.own_weight}, revive_after={self.revive_after}"
        )

    def quantize(self, z: Float[Tensor, "batch time dim"]) -> Quantized:
        """The nearest codeword of every step; changes nothing.

        Backpropagate through `squared_distances` before calling `update`, which writes the codewords in
        place.

        Raises:
            InputError: The width of `z` is not that of the codewords.
        """
        if z.shape[-1] != self.dim:
            raise InputError(
                f"features of width {z.shape[-1]}",
                where="SharedCodebook.quantize",
                expected=f"width {self.dim}",
            )
        with torch.autocast(z.device.type, enabled=False):
            flat = z.to(self.embedding.dtype).flatten(0, 1)
            distances = squared_distances(flat, self.embedding)
            indices = distances.detach().argmin(-1)
            codewords = functional.embedding(indices, self.embedding)
            codes = (flat + (codewords - flat).detach()).to(z.dtype)
        batch, time = z.shape[:2]
        lookup = Lookup(
            flat.view(batch, time, -1),
            codewords.view(batch, time, -1),
            indices.view(batch, time),
            distances.view(batch, time, -1),
        )
        return Quantized(codes.view(batch, time, -1), (lookup,))

    @property
    def sizes(self) -> tuple[int, ...]:
        """H."""
        return (self.num_codes,)

    def codebook_keys(self) -> tuple[str, ...]:
        """The one codebook."""
        return ("embedding",)

    @torch.no_grad()
    def update(
        self,
        features: Mapping[str, Float[Tensor, "batch _ dim"]],
        indices: Mapping[str, Int64[Tensor, "batch _ ..."]],
        masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Move the codes towards the features that chose them.

        In eval mode this does nothing under the corrected rule; under the released rule it counts idle codes
        and revives them, as every released forward does. Under torch.distributed every rank must call it.

        Args:
            features: `[B, T, D]` by modality, what `quantize` was given; all or some of the modalities.
            indices: `[B, T, 1]` or `[B, T]` by modality, what `quantize` returned.
            masks: `[B, T]` by modality, True where a step is real; modalities left out are real throughout.
            generator: Draws of revivals and of `init="data"`; under several ranks those of rank 0 count.

        Raises:
            InputError: A modality is unknown, or shapes differ between modalities that pull each other's
            codes.
        """
        if not self.training and self.rule == "corrected":
            return
        names = check_batch(features, self.modalities, aligned=self.own_weight != 1)
        steps = [
            Steps.of(features[m].to(self.embedding.dtype), None if masks is None else masks.get(m))
            for m in names
        ]
        parts = assignments_by_modality(steps, [indices[m] for m in names], self.own_weight)
        if self.rule == "released":
            self._released_update(parts, generator)
        else:
            self._corrected_update(parts, _revival.Places.of(steps, self.own_weight), generator)

    def _corrected_update(
        self, parts: Sequence[Assignments], places: _revival.Places, generator: torch.Generator | None
    ) -> None:
        counts, sums = torch.zeros_like(self.ema_count), torch.zeros_like(self.ema_weight)
        for part in parts:
            part.add_to(counts, sums)
        rank, world = rank_and_world()
        places_by_rank = counts.new_zeros(world)
        places_by_rank[rank] = places.valid.sum()
        draws = _revival.uniform((self.num_codes,), generator, counts.device).to(counts.dtype) * (rank == 0)
        counts, places_by_rank, draws = sum_over_ranks(counts, places_by_rank, draws)

        self.idle.copy_(torch.where(counts > 0, 0, self.idle + 1))
        anything = places_by_rank.sum() > 0
        dead = (self._dead() | ~self.seeded) & anything
        fresh = places.at(_revival.positions_of_dead(dead, draws, places_by_rank, rank))
        sums, fresh = sum_over_ranks(sums, fresh)
        _ema.corrected_step(*self._averages(), counts, sums, decay=self.decay, epsilon=self.epsilon)
        _revival.reset(*self._averages(), dead, fresh)
        self.idle.masked_fill_(dead, 0)
        self.seeded.logical_or_(anything)

    def _released_update(self, parts: Sequence[Assignments], generator: torch.Generator | None) -> None:
        counts = self.ema_count.new_zeros(len(parts), self.num_codes)
        sums = self.ema_weight.new_zeros(len(parts), self.num_codes, self.dim)
        for part, count, total in zip(parts, counts, sums, strict=True):
            part.add_to(count, total)
        counts, sums = sum_over_ranks(counts, sums)
        if self.training:
            for count, total in zip(counts, sums, strict=True):
                _ema.released_step(*self._averages(), count, total, decay=self.decay, epsilon=self.epsilon)
        self.idle.copy_(torch.where(counts.sum(0) > 0, 0, self.idle + 1))
        if self.revive_after is None:
            return
        dead = self._dead()
        draws, noise = self._released_draws(generator)
        _revival.near_active_codes(self.embedding, self.idle, dead, draws, noise)
        self.idle.masked_fill_(dead, 0)

    def _released_draws(self, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """`[H]` draws that pick an active code and `[H, D]` float32 noise, those of rank 0 on every rank."""
        device = self.embedding.device
        low, high = self.revive_noise
        draws = _revival.uniform((self.num_codes,), generator, device)
        noise = low + (high - low) * _revival.uniform((self.num_codes, self.dim), generator, device)
        if rank_and_world()[0] != 0:
            draws, noise = torch.zeros_like(draws), torch.zeros_like(noise)
        draws, noise = sum_over_ranks(draws, noise)
        return draws, noise

    def _dead(self) -> Bool[Tensor, " codes"]:
        """Codes that have been idle for too long."""
        if self.revive_after is None:
            return torch.zeros_like(self.idle, dtype=torch.bool)
        return self.idle > self.revive_after

    def _averages(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.embedding, self.ema_count, self.ema_weight

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SharedCodebook:
        """Follow `.to()` and friends, but stay at float32 or above: averages move by a hundredth."""

        def at_least_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            halved = moved.is_floating_point() and torch.finfo(moved.dtype).bits < 32
            return tensor.to(moved.device) if halved else moved

        super()._apply(at_least_float32, recurse)  # type: ignore[no-untyped-call]
        return self
