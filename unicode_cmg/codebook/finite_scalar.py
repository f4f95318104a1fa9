"""Finite scalar quantization (FSQ): a few numbers, each rounded to one of a few levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.codebook.quantizer import (
    Features,
    Generator,
    Indices,
    Lookup,
    Masks,
    Quantized,
    Quantizer,
    squared_distances,
)
from unicode_cmg.errors import InputError

MOST_GRID_POINTS = 1 << 16
"""Most codes that finite scalars may make, as in Mentzer et al. 2023: each step is compared with all."""


class FiniteScalar(Quantizer):
    """FSQ of Mentzer et al. 2023 (TOC paper, table 2) over vector-quantize-pytorch.

    Features are projected to one number per entry of `levels`, bounded, rounded, and projected back. There is
    no codebook to update and none to refine: a code is a grid point, and both projections are learned by
    gradient. For losses that compare features with codewords, the codeword of a grid point is its image under
    the second projection.

    Args:
        levels: Levels of each number, each at least 3; their product is the number of codes.
        dim: Width D of features and codes.

    Raises:
        InputError: A level is below 3, there is none, or their product is above `MOST_GRID_POINTS`.
    """

    def __init__(self, levels: Sequence[int], dim: int) -> None:
        super().__init__()
        if not levels or min(levels) < 3:
            raise InputError(
                f"levels are {list(levels)}", where="FiniteScalar", expected="one or more, each at least 3"
            )
        if math.prod(levels) > MOST_GRID_POINTS:
            expected = f"a product of at most {MOST_GRID_POINTS}, the number of codes"
            raise InputError(f"levels are {list(levels)}", where="FiniteScalar", expected=expected)
        from vector_quantize_pytorch import FSQ  # here, because it takes seconds that others need not wait

        self.fsq = FSQ(levels=list(levels), dim=dim)
        self.dim = dim

    def extra_repr(self) -> str:
        return f"{self.sizes[0]} codes of width {self.dim}"

    def quantize(self, z: Float[Tensor, "batch time dim"], *, distances: bool = False) -> Quantized:
        """Round every step. The state does not change.

        `codes` carry gradient into both projections and into `z`. Arguments and errors are those of
        `Quantizer.quantize`.
        """
        self._check_width(z)
        with torch.autocast(z.device.type, enabled=False):
            exact = z.to(next(self.parameters()).dtype)
            codes, indices = self.fsq(exact)
            indices = indices.long()
            with torch.no_grad():
                table = self.fsq.project_out(self.fsq.implicit_codebook.to(exact.dtype))
                codewords = functional.embedding(indices, table)
            kept = squared_distances(exact.flatten(0, 1), table) if distances else None
            kept = None if kept is None else kept.view(*indices.shape, -1)
        return Quantized(codes.to(z.dtype), (Lookup(exact, codewords, indices, kept),))

    def update(
        self, features: Features, indices: Indices, masks: Masks = None, *, generator: Generator = None
    ) -> None:
        """Nothing: the projections learn by gradient."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The product of the levels."""
        return (len(self.fsq.implicit_codebook),)

    def codebook_keys(self) -> tuple[str, ...]:
        """None."""
        return ()
