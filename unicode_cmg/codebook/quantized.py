"""What quantization makes of one modality."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Quantized:
    """One modality after quantization.

    Attributes:
        codes: `[B, T, D]` the codewords with a straight-through gradient, `z + sg(e - z)`, in the dtype of
            `z`.
        codewords: `[B, T, D]` the codewords themselves, without gradient, in the codebook's dtype.
        indices: `[B, T]` which codeword, in `[0, H)`.
        squared_distances: `[B, T, H]` squared Euclidean distance to every codeword, with gradient into `z`.
    """

    codes: Float[Tensor, "batch time dim"]
    codewords: Float[Tensor, "batch time dim"]
    indices: Int64[Tensor, "batch time"]
    squared_distances: Float[Tensor, "batch time codes"]
