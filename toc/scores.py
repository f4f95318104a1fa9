"""How well each dimension of a codebook tells its codes apart: similarity, variance and their balance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toc._shapes import Float
from toc.arrays import CodebookError, as_codebook, blocks

_AS_RELEASED = {"normalize": False, "divisor": "H(H-1)", "ddof": 1}
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {"normalize": True, "divisor": "H^2", "ddof": 0},
    "released": _AS_RELEASED,
    "released-similarity": {**_AS_RELEASED, "lam": 0.0},
    "released-1:1": {**_AS_RELEASED, "ratio": "1:1"},
    "released-3:1": {**_AS_RELEASED, "ratio": "3:1"},
}
"""Named options of `optimize` and `TOCSelector`: `optimize(codebook, 128, **VARIANTS["released"])`.

- `"paper"`: the definition of both papers (they rank alike, see `toc_scores`).
- `"released"`: the AVE script of the FCID paper and every script of the TOC paper (DCID and H-DCID).
- `"released-similarity"`: the AVVP, AVE -> AVVP and UCF <-> VGGSound scripts of the FCID paper, which omit
  the variance.
- `"released-1:1"`, `"released-3:1"`: `"released"`, and the worst dimensions are kept too, as in the TOC
  paper's runs on AVE and AVVP; see `best_and_worst_dims`.

`toc_scores` takes the same options except `ratio`, which does not influence the scores.
"""


@dataclass(frozen=True, eq=False)
class TOCScores:
    """Criteria of the D dimensions.

    Attributes:
        similarity: `[D]`, S_k: the contribution of dimension k to the mean similarity of two different codes.
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
    blocks of about 1 MiB and accumulated in float64: the extra memory does not grow with H, and the codebook
    is not copied.

    The two papers rank alike. Their similarity and variance are the same, both over H^2 and over H (called L
    in the TOC paper and in eq 8 of the FCID paper). The TOC paper weighs the similarity instead of the
    variance and keeps the smallest J_k = lam' S_k - (1 - lam') V_k, which is -U_k for lam' = 1 - lam. Both
    compare kept dimensions by dot products of codes that had unit length in all dimensions (eq 6; TOC paper,
    eq 8), so the minimised quantity is not the cosine similarity of the shortened codes.

    The released code does not normalise, divides by H(H-1), uses the unbiased variance
    (`toc_scores(codebook, **VARIANTS["released"])`) and accumulates the similarity in float32, with an error
    of about 4e-6 for H = 400, D = 256. The FCID paper's scripts for AVVP, AVE-AVVP and UCF-VGG rank by
    similarity alone (`"released-similarity"`).

    Args:
        codebook: `[H, D]` floats, H >= 2.
        lam: Weight of the variance, between 0 and 1.
        normalize: Scale each code to unit length first, as eq 6 of the FCID paper assumes.
        divisor: Divisor of the sum over pairs: `"H^2"` as in the papers, or the number of pairs `"H(H-1)"`.
        ddof: 0 for the biased variance of the papers, 1 for the unbiased one.

    Raises:
        CodebookError: The codebook is not a finite `[H, D]` array of floats with H >= 2, a code to be
            normalised is zero, or an option is out of range.

    >>> toc_scores([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0]]).similarity.round(3)
    array([ 0.333, -0.111])
    """
    check_options(lam, divisor, ddof)
    codes = as_codebook(codebook)
    count, dim = codes.shape
    mean, scatter, seen = np.zeros(dim), np.zeros(dim), 0
    for block in blocks(codes, normalize):
        # Merging means and centred sums avoids the cancellation of a running sum of squares.
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


def check_options(lam: float, divisor: str, ddof: int) -> None:
    """Refuse options of `toc_scores` that are out of range.

    Raises:
        CodebookError: One of them is.
    """
    if not 0 <= lam <= 1:
        raise CodebookError(f"lam is {lam}; expected a number between 0 and 1")
    if divisor not in ("H^2", "H(H-1)") or ddof not in (0, 1):
        raise CodebookError(
            f"divisor is {divisor!r} and ddof {ddof!r}; expected 'H^2' or 'H(H-1)', and 0 or 1"
        )
