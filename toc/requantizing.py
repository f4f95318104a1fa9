"""Quantization in the kept dimensions only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toc._shapes import Float, Int64
from toc.arrays import CodebookError, as_codebook
from toc.selection import TOCSelection

_BLOCK_VALUES = 1 << 20  # float64 values of a block of vectors or codes: 8 MiB
_BLOCK_ROWS = 1 << 10  # its rows at most, so that their distances need no more memory either


def requantize(
    vectors: ArrayLike, codebook: ArrayLike, kept: TOCSelection | ArrayLike
) -> Int64[np.ndarray, " *leading"]:
    """The nearest code of each vector by squared Euclidean distance in the kept dimensions.

    The papers quantize in all dimensions and then use the kept ones; here the dropped dimensions do not
    influence the choice of a code. The released code contains a function for this (`vq_embedding_choose`)
    but never calls it.

    For every dtype, distances are sums of squared differences in float64. Codes that are equal in the kept
    dimensions therefore tie exactly, and of equally near codes the smaller index wins. A model that quantizes
    in float32 may choose differently if two codes are almost equally near. Vectors and codes are read in
    blocks: the extra memory does not depend on their number.

    Args:
        vectors: `[..., D]` floats before quantization, such as `[N, D]` or `[B, T, D]`.
        codebook: `[H, D]` floats.
        kept: A selection made for this codebook, or indices of dimensions.

    Returns:
        `[...]` indices of codes.

    Raises:
        CodebookError: The selection was made for another codebook, an index is out of range or repeated,
            shapes do not match, or values are not finite floats.

    >>> requantize([[9.0, 0.2]], [[9.0, 1.0], [0.0, 0.0]], [1])
    array([1])
    """
    codes = as_codebook(codebook)
    dims = _dims(kept, codes)
    values = np.asarray(vectors)
    if values.dtype.kind != "f" or values.shape[-1:] != codes.shape[1:]:
        raise CodebookError(
            f"the vectors are {values.dtype} of shape {list(values.shape)}; expected floats with"
            f" {codes.shape[1]} dimensions along the last axis, as the codebook has"
        )
    rows = values.reshape(-1, codes.shape[1])
    nearest = np.zeros(len(rows), dtype=np.int64)
    step = max(1, min(_BLOCK_ROWS, _BLOCK_VALUES // len(dims)))
    for start in range(0, len(rows), step):
        block = _read(rows, start, step, dims, "vector")
        distance = np.full(len(block), np.inf)
        for first in range(0, len(codes), step):
            found, code = _nearest(block, _read(codes, first, step, dims, "code"))
            closer = found < distance  # of equally near codes the earlier block's stays
            distance[closer] = found[closer]
            nearest[start : start + step][closer] = first + code[closer]
    return nearest.reshape(values.shape[:-1])


def _dims(
    kept: TOCSelection | ArrayLike, codes: Float[np.ndarray, "codes dim"]
) -> Int64[np.ndarray, " kept"]:
    if isinstance(kept, TOCSelection):
        kept.check(codes)
        return np.array(kept.indices, dtype=np.int64)
    dims = np.asarray(kept)
    if dims.ndim != 1 or dims.dtype.kind not in "iu" or not len(dims):
        raise CodebookError("the kept dimensions are not a list of indices; expected for example [0, 3, 5]")
    if dims.min() < 0 or dims.max() >= codes.shape[1] or len(np.unique(dims)) < len(dims):
        raise CodebookError(
            f"an index of the kept dimensions occurs twice, or is not between 0 and {codes.shape[1] - 1}"
        )
    return dims.astype(np.int64)


def _read(
    rows: Float[np.ndarray, "rows dim"], start: int, step: int, dims: Int64[np.ndarray, " kept"], kind: str
) -> Float[np.ndarray, "block kept"]:
    block = rows[start : start + step][:, dims].astype(np.float64)
    with np.errstate(over="ignore"):
        fine = np.isfinite(4 * np.einsum("rk,rk->r", block, block))
    if not fine.all():
        raise CodebookError(
            f"{kind} {start + int(np.argmin(fine))} holds NaN or infinity, or is too large to be squared"
        )
    return block


def _nearest(
    vectors: Float[np.ndarray, "rows kept"], codes: Float[np.ndarray, "codes kept"]
) -> tuple[Float[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
    """Squared distance to the nearest of a block of codes, and the index of this code in the block.

    One matrix product finds the codes that can be nearest within its rounding error; only their distances
    are then computed from differences, so that ties are exact.
    """
    squares = np.einsum("hk,hk->h", codes, codes)
    rough = squares / 2 - vectors @ codes.T  # half the squared distance, up to a term that all codes share
    lengths = np.sqrt(np.einsum("rk,rk->r", vectors, vectors)) + np.sqrt(squares.max())
    # Twice the largest rounding error of a rough distance and of one computed from differences.
    slack = 2 * (codes.shape[1] + 4) * np.finfo(np.float64).eps * lengths**2
    row, code = np.nonzero(rough <= (rough.min(axis=1) + slack)[:, None])
    distance = np.empty(len(row))
    for start in range(0, len(row), _BLOCK_ROWS):
        pairs = slice(start, start + _BLOCK_ROWS)
        distance[pairs] = ((vectors[row[pairs]] - codes[code[pairs]]) ** 2).sum(axis=1)
    _, first = np.unique(row, return_index=True)
    least = np.minimum.reduceat(distance, first)
    winner = np.flatnonzero(distance == least[row])
    _, first = np.unique(row[winner], return_index=True)
    return least, code[winner[first]].astype(np.int64)
