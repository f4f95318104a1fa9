"""Training-free optimization of a codebook: score its dimensions, keep the best."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toc._shapes import Float, Int64
from toc.auto import AUTO, automatic_size
from toc.errors import CodebookError
from toc.fingerprint import codebook_sha256
from toc.ranking import best_and_worst_dims
from toc.scores import TOCScores, as_codebook, toc_scores
from toc.selection import TOCSelection
from toc.variants import ONLY_BEST, parse_ratio


def optimize(
    codebook: ArrayLike,
    n_dims: int | float | np.integer[Any] | str = 0.5,
    lam: float = 0.3,
    normalize: bool = True,
    *,
    divisor: str = "H^2",
    ddof: int = 0,
    ratio: str = ONLY_BEST,
    layer: str = "layer0",
) -> TOCSelection:
    """Training-free optimization of a codebook (FCID paper, section 4.1; TOC paper, section 4.1).

    Args:
        codebook: `[H, D]` floats.
        n_dims: How many dimensions to keep: an int, a fraction of D, or `"auto"` (see
            `toc.auto.automatic_size`).
        lam, normalize, divisor, ddof: See `toc_scores`.
        ratio: Best to worst dimensions among the kept ones. The papers keep the best alone; `"3:1"` and
            `"1:1"` do as some of the released scripts, see `best_and_worst_dims`.
        layer: Name of the codebook in its model, kept in the record.

    Raises:
        CodebookError: As `toc_scores`, or `n_dims` or `ratio` is wrong.

    >>> codebook = [[1.0, 0.1, 0.2], [1.0, 0.9, -0.3], [1.0, -0.8, 0.1]]
    >>> optimize(codebook, n_dims=2).indices
    (1, 2)
    """
    codes = as_codebook(codebook)
    scores = toc_scores(codes, lam, normalize, divisor=divisor, ddof=ddof)
    indices = choose_dims(codes, scores, n_dims, normalize, ratio)
    return TOCSelection(
        indices=tuple(indices.tolist()),
        scores=scores,
        asked=n_dims.item() if isinstance(n_dims, np.generic) else n_dims,
        lam=float(lam),
        normalize=normalize,
        divisor=divisor,
        ddof=ddof,
        ratio=ratio,
        layer=layer,
        n_codes=len(codes),
        codebook_sha256=codebook_sha256(codes),
        versions={"numpy": np.__version__, "unicode-cmg": _library_version()},
    )


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
    if isinstance(n_dims, str):
        if n_dims != AUTO:
            raise CodebookError(
                f"n_dims is {n_dims!r}; expected '{AUTO}', a whole number or a fraction in (0, 1]"
            )
        n_dims = automatic_size(codes, scores, normalize)
    return best_and_worst_dims(scores.score, n_dims, best, worst)


def _library_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # costs a tenth of `import toc`

    try:
        return version("unicode-cmg")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
