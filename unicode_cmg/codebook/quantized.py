"""What quantization makes of one modality."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Lookup:
    """What one codebook has to say about the steps of one modality.

    Attributes:
        unquantized: `[B, T, D]` what it quantized, in its own dtype: the features, or what the codebooks
            before it left of them.
        codewords: `[B, T, D]` the nearest codewords, without gradient, in the codebook's dtype.
        indices: `[B, T]` which codewords, in `[0, H)`.
        squared_distances: `[B, T, H]` squared Euclidean distance to every codeword, with gradient into the
            features.
    """

    unquantized: Float[Tensor, "batch time dim"]
    codewords: Float[Tensor, "batch time dim"]
    indices: Int64[Tensor, "batch time"]
    squared_distances: Float[Tensor, "batch time codes"]


@dataclass(frozen=True)
class Quantized:
    """One modality after quantization by one codebook, or by several whose codewords add up.

    Attributes:
        codes: `[B, T, D]` the codewords with a gradient into the features, in the dtype of the features.
        lookups: One for each of the K codebooks.
    """

    codes: Float[Tensor, "batch time dim"]
    lookups: tuple[Lookup, ...]

    @property
    def codewords(self) -> Float[Tensor, "batch time dim"]:
        """`codes` without gradient, in the codebook's dtype."""
        return reduce(torch.add, (lookup.codewords for lookup in self.lookups))

    @property
    def indices(self) -> Int64[Tensor, "batch time layers"]:
        """`[B, T, K]` which codeword of each codebook."""
        return torch.stack([lookup.indices for lookup in self.lookups], dim=-1)

    @property
    def side_by_side(self) -> Float[Tensor, "batch time code_dim"]:
        """`[B, T, K*D]` what an encoder hands out: the codewords of the K codebooks, not added up."""
        if len(self.lookups) == 1:
            return self.codes
        return torch.cat([lookup.codewords for lookup in self.lookups], dim=-1).to(self.codes.dtype)

    @property
    def unquantized(self) -> Float[Tensor, "batch time code_dim"]:
        """`[B, T, K*D]` what each of the K codebooks quantized, side by side."""
        return torch.cat([lookup.unquantized for lookup in self.lookups], dim=-1)
