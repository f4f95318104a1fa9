"""From the number of a code to its vector, for one layer of codes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class CodeTable(ABC):
    """The vectors of the codes of one layer."""

    @abstractmethod
    def observe(self, numbers: Int64[Tensor, " steps"], codes: Float[Tensor, "steps dim"]) -> None:
        """Take note of what `encode` returned.

        Raises:
            RuntimeError: The vectors are not those the numbers name; heads look vectors up by number, so a
                method that returns something else would be misjudged.
        """

    @abstractmethod
    def vectors(self, numbers: Int64[Tensor, " some"]) -> Float[Tensor, "some dim"]:
        """The vectors of codes that have been observed."""


class CodebookTable(CodeTable):
    """A layer whose vectors are the rows of a codebook."""

    def __init__(self, codebook: Float[Tensor, "codes dim"]) -> None:
        self._codebook = codebook

    def observe(self, numbers: Int64[Tensor, " steps"], codes: Float[Tensor, "steps dim"]) -> None:
        _require_equal(codes, self.vectors(numbers))

    def vectors(self, numbers: Int64[Tensor, " some"]) -> Float[Tensor, "some dim"]:
        return self._codebook[numbers]


class ObservedTable(CodeTable):
    """A layer without a codebook, such as FSQ's: the vector of a code is what came with it first."""

    def __init__(self) -> None:
        self._numbers: Int64[Tensor, " known"] | None = None
        self._vectors: Float[Tensor, "known dim"] | None = None

    def observe(self, numbers: Int64[Tensor, " steps"], codes: Float[Tensor, "steps dim"]) -> None:
        distinct, inverse = torch.unique(numbers, return_inverse=True)
        places = torch.arange(len(numbers), device=numbers.device)
        first = torch.full_like(distinct, len(numbers)).scatter_reduce_(0, inverse, places, "amin")
        if self._numbers is None or self._vectors is None:
            self._numbers, self._vectors = distinct, codes[first]
        else:
            new = ~torch.isin(distinct, self._numbers)
            known, order = torch.cat([self._numbers, distinct[new]]).sort()
            self._numbers, self._vectors = known, torch.cat([self._vectors, codes[first[new]]])[order]
        _require_equal(codes, self.vectors(numbers))

    def vectors(self, numbers: Int64[Tensor, " some"]) -> Float[Tensor, "some dim"]:
        if self._numbers is None or self._vectors is None:
            raise RuntimeError("no code has been observed")
        return self._vectors[torch.searchsorted(self._numbers, numbers.contiguous())]


def _require_equal(codes: Tensor, vectors: Tensor) -> None:
    # Straight-through codes z + (e - z) carry the rounding of z, which is coarse in half precision.
    tolerance = 0.05 * vectors.abs().max().item()
    if codes.shape != vectors.shape or not torch.allclose(codes, vectors, rtol=0, atol=tolerance):
        raise RuntimeError("encode() returned codes that are not the codewords its indices name")
