"""From scores to kept dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from toc._shapes import Float, Int64
from toc.errors import CodebookError


def best_dims(
    score: Float[np.ndarray, " dim"], n_dims: int | float | np.integer[Any]
) -> Int64[np.ndarray, " kept"]:
    """Indices of the `n_dims` largest scores, best first; of equal scores the smaller index comes first.

    Args:
        score: `[D]`, larger is better.
        n_dims: How many to keep: an int between 1 and D, or a float in (0, 1], the fraction of D (rounded,
            but at least one).

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
    Among the worst, of equal scores the larger index comes first, so that none is kept twice.

    Raises:
        CodebookError: A number is negative, or nothing would be kept.
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
            f"n_dims is {n_dims!r}; expected a whole number of dimensions or a fraction in (0, 1]"
        )
    if not 1 <= kept <= dim:
        raise CodebookError(f"n_dims is {kept}; expected between 1 and {dim}, the dimensions of the codebook")
    return kept
