"""Which dimensions to keep: a number of them, a fraction, or as many as the codebook itself suggests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from toc._shapes import Float, Int64
from toc.arrays import CodebookError, blocks, mean_and_offset
from toc.scores import AUTO, TOCScores

ONLY_BEST = "1:0"
_PRODUCT_ROWS = 512  # with smaller blocks, most of the time goes into reading and writing the sum of products


def best_dims(
    score: Float[np.ndarray, " dim"], n_dims: int | float | np.integer[Any]
) -> Int64[np.ndarray, " kept"]:
    """Indices of the `n_dims` largest scores, best first; of equal scores the smaller index comes first.

    Args:
        score: `[D]`, larger is better.
        n_dims: How many to keep: an int between 1 and D, or a float in (0, 1], the fraction of D (rounded,
            but at least one dimension).

    Raises:
        CodebookError: `n_dims` is neither, or is out of range.
    """
    return np.argsort(-score, kind="stable")[: how_many(n_dims, len(score))].astype(np.int64)


def best_and_worst_dims(
    score: Float[np.ndarray, " dim"], n_dims: int | float | np.integer[Any], best: int, worst: int
) -> Int64[np.ndarray, " kept"]:
    """The selection of the released scripts, which can also keep the *worst* dimensions.

    With u = n_dims // (best + worst), the u * best largest scores (descending) are followed by the u * worst
    smallest (ascending), so fewer than `n_dims` are kept when the ratio does not divide it. The papers
    mention no such step (their ratio is 1 : 0); the released AVE and AVVP scripts use 1 : 1 and 3 : 1.
    Among the worst, of equal scores the larger index comes first, so that no dimension is kept twice.

    Raises:
        CodebookError: A number is negative, or no dimension would be kept.
    """
    if min(best, worst) < 0 or best + worst < 1:
        raise CodebookError(
            f"the ratio of best to worst dimensions is {best}:{worst}; expected for example 3:1"
        )
    kept = how_many(n_dims, len(score))
    unit = kept // (best + worst)
    if unit == 0:
        raise CodebookError(
            f"{kept} dimensions cannot be divided {best}:{worst}; keep at least {best + worst}"
        )
    order = np.argsort(-score, kind="stable")
    return np.concatenate([order[: unit * best], order[::-1][: unit * worst]]).astype(np.int64)


def choose_dims(
    codes: Float[np.ndarray, "codes dim"],
    scores: TOCScores,
    n_dims: int | float | np.integer[Any] | str,
    normalize: bool,
    ratio: str,
) -> Int64[np.ndarray, " kept"]:
    """Kept dimensions of a scored codebook, best first; arguments as in `optimize`.

    Raises:
        CodebookError: `n_dims` or `ratio` is wrong.
    """
    best, worst = parse_ratio(ratio)
    automatic = isinstance(n_dims, str) and n_dims == AUTO
    kept = automatic_size(codes, scores, normalize) if automatic else how_many(n_dims, len(scores.score))
    return best_and_worst_dims(scores.score, kept, best, worst)


def how_many(n_dims: object, dim: int) -> int:
    """`n_dims` of `dim` as a number of dimensions.

    Raises:
        CodebookError: As `best_dims`.
    """
    if isinstance(n_dims, (int, np.integer)) and not isinstance(n_dims, bool):
        kept = int(n_dims)
    elif isinstance(n_dims, float) and 0 < n_dims <= 1:
        kept = max(1, round(n_dims * dim))
    else:
        raise CodebookError(
            f"n_dims is {n_dims!r}; expected a whole number, a fraction in (0, 1], or '{AUTO}'"
        )
    if not 1 <= kept <= dim:
        raise CodebookError(f"n_dims is {kept}; expected between 1 and {dim}, the dimensions of the codebook")
    return kept


def parse_ratio(ratio: str) -> tuple[int, int]:
    """The two numbers of a ratio of best to worst dimensions such as `"3:1"`.

    Raises:
        CodebookError: It is not two whole numbers, or both are 0.
    """
    parts = ratio.split(":") if isinstance(ratio, str) else []
    if len(parts) != 2 or not all(part.isdecimal() for part in parts) or not any(map(int, parts)):
        raise CodebookError(f"ratio is {ratio!r}; expected best:worst, such as '1:0' or '3:1'")
    return int(parts[0]), int(parts[1])


def automatic_size(codes: Float[np.ndarray, "codes dim"], scores: TOCScores, normalize: bool) -> int:
    """The number of dimensions that `n_dims="auto"` keeps; it needs no labels, no data and no threshold.

    The sum of U_k over the kept dimensions ranks subsets of them (FCID paper eq. 9; eq. 7 makes the
    similarity such a sum). If the number of dimensions is free too, this sum is largest for exactly the
    dimensions of positive U_k: for many codes, those with |mean| / std < sqrt(lam / (1 - lam)), 0.65 at
    lam = 0.3. In words: a dimension is dropped when its mean outweighs its spread across codes. The number
    therefore follows from the objective of the papers.

    A large common offset or a small lam can leave fewer dimensions than the codes vary in. Therefore at
    least the effective number of dimensions is kept; see `effective_dims`. Trained codes vary in few
    directions (1 to 32 of 64 on the digits), so this lower bound decides only for codebooks that consist of
    little more than an offset, such as some second layers of H-DCID. Codes that vary equally in every
    direction keep every dimension.

    Args:
        codes: `[H, D]`, the codebook.
        scores: Its scores.
        normalize: Whether the scores are those of codes scaled to unit length.
    """
    positive = int(np.count_nonzero(scores.score > 0))
    # The tolerance is for whole numbers that rounding has moved slightly upwards.
    return max(positive, math.ceil(effective_dims(codes, scores, normalize) - 1e-6))


def effective_dims(codes: Float[np.ndarray, "codes dim"], scores: TOCScores, normalize: bool) -> float:
    """Participation ratio of the codes: (sum l)^2 / sum l^2 over the eigenvalues l of their covariance.

    It is n if the codes vary equally in n orthogonal directions and not at all in others, and 1 if all
    codes are equal. Eigenvalues are not computed: the two sums are the trace of the covariance and
    the sum of its squared entries. This takes O(H D min(H, D)) time and at most the extra memory of two
    copies of the codebook in float64.
    """
    spread = math.sqrt(scores.variance.sum())
    if spread == 0:
        return 1.0
    count, dim = codes.shape
    minus = mean_and_offset(codes)[0] if scores.centered else None
    mean = sum((block.sum(axis=0) for block in blocks(codes, normalize, minus=minus)), np.zeros(dim)) / count
    centred = ((block - mean) / spread for block in blocks(codes, normalize, _PRODUCT_ROWS, minus))
    if count < dim:  # the Gram matrix has the same eigenvalues and is smaller
        rows = np.concatenate(list(centred))
        products = rows @ rows.T
    else:
        products = np.zeros((dim, dim))
        for block in centred:
            products += block.T @ block
    return float(np.trace(products) ** 2 / np.vdot(products, products))
