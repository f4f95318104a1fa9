"""How well each dimension of a codebook tells its codes apart: similarity, variance and their balance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toc._shapes import Float
from toc.arrays import CodebookError, as_codebook, blocks, mean_and_offset

AUTO = "auto"
OFFSET_CENTERED = 0.2
"""The offset share above which `center="auto"` subtracts the mean codeword, see `toc_scores`."""
_CORRECTED = {"normalize": True, "divisor": "H^2", "ddof": 0}
_AS_RELEASED = {"normalize": False, "divisor": "H(H-1)", "ddof": 1, "center": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "corrected": _CORRECTED,
    "paper": {**_CORRECTED, "center": False},
    "released": _AS_RELEASED,
    "released-similarity": {**_AS_RELEASED, "lam": 0.0},
    "released-1:1": {**_AS_RELEASED, "ratio": "1:1"},
    "released-3:1": {**_AS_RELEASED, "ratio": "3:1"},
}
"""Named options of `optimize` and `TOCSelector`: `optimize(codebook, 128, **VARIANTS["released"])`.

- `"corrected"`: the definition of both papers, of the centred codebook where a common offset would decide.
- `"paper"`: the definition of both papers (they rank alike, see `toc_scores`), never centred.
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
        offset_share: Squared length of the mean codeword, as a share of the mean squared length of codewords.
        centered: Whether the mean codeword was subtracted before.
    """

    similarity: Float[np.ndarray, " dim"]
    variance: Float[np.ndarray, " dim"]
    score: Float[np.ndarray, " dim"]
    offset_share: float
    centered: bool


def toc_scores(
    codebook: ArrayLike,
    lam: float = 0.3,
    normalize: bool = True,
    *,
    divisor: str = "H^2",
    ddof: int = 0,
    center: bool | str = False,
) -> TOCScores:
    """Score each dimension of a codebook (FCID paper eqs. 4 to 9; TOC paper eqs. 6 to 11).

    Similarity of dimension k is the mean over pairs of different codes of e_k^i e_k^j. The sum over pairs has
    the closed form `(sum_i e_k^i)^2 - sum_i (e_k^i)^2`, so the cost is O(H * D). The codebook is read in
    blocks of about 1 MiB and accumulated in float64: the extra memory does not grow with H, and the codebook
    is not copied.

    The two papers rank alike. Their similarity and variance are the same, both over H^2 and over H (called L
    in the TOC paper and in FCID paper eq. 8). The TOC paper weighs the similarity instead of the
    variance and keeps the smallest J_k = lam' S_k - (1 - lam') V_k, which is -U_k for lam' = 1 - lam. Both
    compare kept dimensions by dot products of codes that had unit length in all dimensions (FCID paper
    eq. 6; TOC paper eq. 8), so the minimised quantity is not the cosine similarity of the shortened codes.

    The released code does not normalise, divides by H(H-1), uses the unbiased variance
    (`toc_scores(codebook, **VARIANTS["released"])`) and accumulates the similarity in float32, with an error
    of about 4e-6 for H = 400, D = 256. The FCID paper's scripts for AVVP, AVE-AVVP and UCF-VGG rank by
    similarity alone (`"released-similarity"`).

    A common offset of the codewords, a large mean codeword, decides the ranking instead of what tells codes
    apart: S_k is nearly the square of the mean of a dimension. Summed over all dimensions of codes of unit
    length, U_k is about lam - s, where s is the share of the offset in the squared length, so from s = lam on
    the offset outweighs the variance as a whole. It does so earlier where it sits in few dimensions: with
    half of the dimensions of the VQ-VAEs of docs/results masked, TOC is better than random masks up to
    s = 0.21 and worse from 0.24 on, while TOC of the codebook less its mean is better for all of them.
    `center="auto"` therefore centres above s = 0.2 (`OFFSET_CENTERED`). That is the default of `optimize` and
    of `TOCSelector`; here, as in the papers and in the released code, codes are not centred unless asked to.

    Args:
        codebook: `[H, D]` floats, H >= 2.
        lam: Weight of the variance, between 0 and 1.
        normalize: Scale each code to unit length first, as FCID paper eq. 6 assumes.
        divisor: Divisor of the sum over pairs: `"H^2"` as in the papers, or the number of pairs `"H(H-1)"`.
        ddof: 0 for the biased variance of the papers, 1 for the unbiased one.
        center: Subtract the mean codeword first, before codes are scaled to unit length: True, False, or
            `"auto"`, above an offset share of 0.2. A code that equals the mean then counts as zero.

    Raises:
        CodebookError: The codebook is not a finite `[H, D]` array of floats with H >= 2, a code to be
            normalised is zero, or an option is out of range.

    >>> toc_scores([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0]]).similarity.round(3)
    array([ 0.333, -0.111])
    >>> toc_scores([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0]], center="auto").centered
    True
    """
    check_options(lam, divisor, ddof, center)
    codes = as_codebook(codebook)
    count, dim = codes.shape
    offset, share = mean_and_offset(codes)
    centered = share > OFFSET_CENTERED if center == AUTO else bool(center)
    mean, scatter, seen = np.zeros(dim), np.zeros(dim), 0
    for block in blocks(codes, normalize, minus=offset if centered else None):
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
    score = lam * variance - (1 - lam) * similarity
    return TOCScores(similarity, variance, score, offset_share=share, centered=centered)


def check_options(lam: float, divisor: str, ddof: int, center: bool | str) -> None:
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
    if not (isinstance(center, bool) or center == AUTO):
        raise CodebookError(f"center is {center!r}; expected True, False or '{AUTO}'")
