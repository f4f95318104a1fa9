"""How much each dimension of a codebook tells its codes apart: similarity, variance and their balance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toc._shapes import Float
from toc.errors import CodebookError
from toc.variants import DIVISORS

_BLOCK_VALUES = 1 << 17  # float64 values of one block: 1 MiB, so that a block stays in the cache


@dataclass(frozen=True, eq=False)
class TOCScores:
    """Criteria of the D dimensions.

    Attributes:
        similarity: `[D]`, S_k: what dimension k adds to the mean similarity between two different codes.
        variance: `[D]`, V_k: variance of dimension k across the codes.
        score: `[D]`, U_k = lam * V_k - (1 - lam) * S_k; larger is better.
    """

    similarity: Float[np.ndarray, " dim"]
    variance: Float[np.ndarray, " dim"]
    score: Float[np.ndarray, " dim"]


def toc_scores(
    codebook: ArrayLike,
    lam: float = 0.3,
    normalize: bool = True,
    *,
    divisor: str = "H^2",
    ddof: int = 0,
) -> TOCScores:
    """Score each dimension of a codebook (FCID paper eqs 7-9; TOC paper eqs 9-11).

    Similarity of dimension k is the mean over pairs of different codes of e_k^i e_k^j. The sum over pairs has
    the closed form `(sum_i e_k^i)^2 - sum_i (e_k^i)^2`, so the cost is O(H * D). The codebook is read in
    blocks of about 1 MiB and accumulated in float64: the extra memory does not grow with H, and no copy of it
    is made.

    The two papers rank alike. Their similarity and variance are the same, both over H^2 and over H (called L
    in the TOC paper and in eq 8 of the FCID paper). The TOC paper weighs the similarity instead of the
    variance and keeps the smallest J_k = lam' S_k - (1 - lam') V_k, which is -U_k for lam' = 1 - lam. Both
    measure kept dimensions by dot products of codes that had unit length in all of them (eq 6; TOC paper,
    eq 8), so what is minimised is not the cosine similarity of the shortened codes.

    The released code does not normalise, divides by H(H-1), uses the unbiased variance
    (`toc_scores(codebook, **VARIANTS["released"])`) and accumulates the similarity in float32, which is off
    by about 4e-6 for H = 400, D = 256. The FCID paper's scripts for AVVP, AVE-AVVP and UCF-VGG rank by
    similarity alone (`"released-similarity"`).

    Args:
        codebook: `[H, D]` floats, H >= 2.
        lam: Weight of the variance, between 0 and 1.
        normalize: Scale each code to unit length first, as eq 6 of the FCID paper assumes.
        divisor: What the sum over pairs is divided by: `"H^2"` as in the papers, or the number of
            pairs `"H(H-1)"`.
        ddof: 0 for the biased variance of the papers, 1 for the unbiased one.

    Raises:
        CodebookError: The codebook is not a finite `[H, D]` array of floats with H >= 2, a code to be
            normalised is zero, or an option is out of range.

    >>> toc_scores([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0]]).similarity.round(3)
    array([ 0.333, -0.111])
    """
    if not 0 <= lam <= 1:
        raise CodebookError(f"lam is {lam}; expected a number between 0 and 1")
    if divisor not in DIVISORS or ddof not in (0, 1):
        raise CodebookError(
            f"divisor is {divisor!r} and ddof {ddof!r}; expected 'H^2' or 'H(H-1)', and 0 or 1"
        )
    codes = as_codebook(codebook)
    count, dim = codes.shape
    mean, scatter, seen = np.zeros(dim), np.zeros(dim), 0
    for block in blocks(codes, normalize):
        # Merging means and centred sums keeps the digits that a running sum of squares would cancel away.
        added = len(block)
        block_mean = np.full(added, 1 / added) @ block
        block -= block_mean
        step = block_mean - mean
        scatter += np.einsum("hd,hd->d", block, block) + step**2 * (seen * added / (seen + added))
        mean += step * (added / (seen + added))
        seen += added
    # (sum e)^2 - sum e^2, with sum e = H mean and sum e^2 = scatter + H mean^2
    pair_sum = count * (count - 1) * mean**2 - scatter
    similarity = pair_sum / (count**2 if divisor == "H^2" else count * (count - 1))
    variance = scatter / (count - ddof)
    return TOCScores(similarity, variance, lam * variance - (1 - lam) * similarity)


def as_codebook(values: ArrayLike) -> Float[np.ndarray, "codes dim"]:
    """`values` as an array, refused unless it is `[H, D]` floats with H >= 2 and D >= 1.

    Raises:
        CodebookError: It is something else. Values are not looked at here.
    """
    try:
        codes = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CodebookError(f"the codebook cannot be read as an array ({error})") from None
    if codes.dtype.kind != "f":
        kind = "integers: code indices?" if codes.dtype.kind in "iub" else f"dtype {codes.dtype}"
        raise CodebookError(f"the codebook holds {kind}; expected floats [codes, dimensions]")
    if codes.ndim != 2:
        raise CodebookError(f"the codebook has shape {list(codes.shape)}; expected [codes, dimensions]")
    if len(codes) < 2 or codes.shape[1] < 1:
        raise CodebookError(
            f"the codebook has shape {list(codes.shape)}; expected at least 2 codes (one sample compares with"
            " nothing) of at least 1 dimension"
        )
    return codes


def blocks(
    codes: Float[np.ndarray, "codes dim"], normalize: bool, at_least: int = 1
) -> Iterator[Float[np.ndarray, "block dim"]]:
    """Consecutive rows, `at_least` so many, as float64 arrays of their own; of unit length, if asked.

    Raises:
        CodebookError: A code is not finite, or zero where unit length is asked for.
    """
    rows = max(at_least, _BLOCK_VALUES // codes.shape[1])
    for start in range(0, len(codes), rows):
        block = codes[start : start + rows].astype(np.float64)
        with np.errstate(over="ignore"):
            norms = np.sqrt(np.vecdot(block, block))
        if not np.isfinite(norms).all():
            row = int(np.argmin(np.isfinite(norms)))
            large = np.isfinite(block[row]).all()
            fault = "is too large to be squared; scale it down" if large else "holds NaN or infinity"
            raise CodebookError(f"code {start + row} of the codebook {fault}")
        if normalize:
            if not norms.all():
                code = start + int(np.argmin(norms))
                raise CodebookError(
                    f"code {code} is zero and has no direction; drop it, or use normalize=False"
                )
            block *= 1 / norms[:, None]
        yield block
