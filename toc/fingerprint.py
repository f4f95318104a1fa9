"""Which codebook a selection was made for."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike

from toc.scores import as_codebook

_BLOCK_VALUES = 1 << 18


def codebook_sha256(codebook: ArrayLike) -> str:
    """SHA-256 of "HxD" in ASCII, then of the values of the codebook as little-endian float32, row by row.

    A codebook read back in another precision, byte order or memory layout has the same fingerprint.
    """
    codes = as_codebook(codebook)
    digest = hashlib.sha256("x".join(map(str, codes.shape)).encode())
    rows = max(1, _BLOCK_VALUES // codes.shape[1])
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite in the fingerprint alone
        for start in range(0, len(codes), rows):
            digest.update(np.ascontiguousarray(codes[start : start + rows], dtype="<f4").data)
    return digest.hexdigest()
