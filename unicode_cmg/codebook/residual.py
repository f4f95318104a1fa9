"""Residual vector quantization: each codebook quantizes what the codebooks before it left over."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unicode_cmg.codebook.quantizer import Features, Generator, Indices, Masks, Quantized, Quantizer
from unicode_cmg.codebook.shared import SharedCodebook
from unicode_cmg.errors import InputError


class ResidualCodebook(Quantizer):
    """Shared codebooks whose chosen codewords add up to the code (TOC paper, table 2 and fig. 3a).

    Every codebook is moved by MM-EMA on the residuals it quantized, so modalities pull each other's codes in
    each of them, as in a single `SharedCodebook`; with `own_weight=1` this is the plain residual quantizer of
    the literature.

    Args:
        codebooks: Two or more codebooks of the same width.

    Raises:
        InputError: There are fewer than two, or their widths differ.
    """

    def __init__(self, codebooks: Sequence[SharedCodebook]) -> None:
        super().__init__()
        widths = [codebook.dim for codebook in codebooks]
        if len(widths) < 2 or len(set(widths)) > 1:
            raise InputError(
                f"codebooks of widths {widths}", where="ResidualCodebook", expected="two or more of one width"
            )
        self.stages = nn.ModuleList(codebooks)
        self.dim = widths[0]
        self._placed = False

    def quantize(self, z: Float[Tensor, "batch time dim"], *, distances: bool = False) -> Quantized:
        """The nearest codeword of every step, then of its residual, and so on. The state does not change.

        Arguments and errors are those of `Quantizer.quantize`.
        """
        with torch.autocast(z.device.type, enabled=False):
            left, lookups = z, []
            for stage in self._stages():
                (lookup,) = stage.quantize(left, distances=distances).lookups
                left = left.to(lookup.codewords.dtype) - lookup.codewords
                lookups.append(lookup)
            # z - left is the sum of the codewords up to rounding; heads look up the sum itself
            total = torch.stack([lookup.codewords for lookup in lookups]).sum(0)
            return Quantized((z + (total - z).detach()).to(z.dtype), tuple(lookups))

    @torch.no_grad()
    def update(
        self, features: Features, indices: Indices, masks: Masks = None, *, generator: Generator = None
    ) -> None:
        """Update every codebook with the residuals that chose its codes.

        With `init="data"` a codebook is placed on the first batch after those before it have been placed.
        Arguments and errors are those of `Quantizer.update`.
        """
        left = dict(features)
        for k, stage in enumerate(self._stages()[: self._ready()]):
            chosen = {m: index[..., k] for m, index in indices.items()}
            following = {m: left[m].to(stage.embedding.dtype) - stage.embedding[chosen[m]] for m in left}
            stage.update(left, chosen, masks, generator=generator)
            left = following

    def _ready(self) -> int:
        """Number of codebooks that can learn: each needs residuals of codebooks that lie on the data.

        The device is read only until all codebooks are placed.
        """
        if not self._placed:
            placed = torch.stack([stage.seeded for stage in self._stages()]).tolist()
            if False in placed:
                return placed.index(False) + 1
            self._placed = True
        return len(self.stages)

    @property
    def sizes(self) -> tuple[int, ...]:
        """H of each codebook."""
        return tuple(stage.num_codes for stage in self._stages())

    def codebook_keys(self) -> tuple[str, ...]:
        """The codebooks in their order."""
        return tuple(f"stages.{k}.embedding" for k in range(len(self.stages)))

    def _stages(self) -> list[SharedCodebook]:
        return [stage for stage in self.stages if isinstance(stage, SharedCodebook)]
