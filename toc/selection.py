"""The kept dimensions of a codebook: chosen by `optimize`, recorded in `toc.json`, applied to vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toc._shapes import Bool, Shaped
from toc.arrays import CodebookError, as_codebook, codebook_sha256
from toc.dimensions import ONLY_BEST, choose_dims, how_many, parse_ratio
from toc.records import CodebookRecord, library_versions
from toc.scores import AUTO, VARIANTS, TOCScores, check_options, toc_scores


@dataclass(frozen=True, eq=False)
class TOCSelection(CodebookRecord):
    """The kept dimensions of one codebook, in `toc.json`.

    Attributes:
        indices: Kept dimensions, best first.
        scores: The criteria of all D dimensions, kept or not.
        asked: The requested number of dimensions: an int, a fraction of D, or `"auto"`.
        lam: Weight of the variance.
        normalize: Whether the codes were scaled to unit length before scoring.
        divisor: Divisor of the sum over pairs.
        ddof: 0 for the biased variance, 1 for the unbiased one.
        ratio: Best to worst dimensions among the kept ones, `"1:0"` for the best alone.
        center: Whether the mean codeword was to be subtracted first; of `"auto"`, `scores.centered` says
            what came out.
        n_codes: H, the number of codes.
    """

    file_name, _what, _again = "toc.json", "TOC selection", "run TOC"

    indices: tuple[int, ...]
    scores: TOCScores
    asked: int | float | str
    lam: float
    normalize: bool
    divisor: str
    ddof: int
    ratio: str
    center: bool | str
    n_codes: int

    def __repr__(self) -> str:
        return f"TOCSelection({self.layer}: {len(self.indices)} of {self.n_dims} dimensions kept)"

    @property
    def n_dims(self) -> int:
        """D, the number of dimensions before selection."""
        return len(self.scores.score)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.n_codes, self.n_dims

    @property
    def mask(self) -> Bool[np.ndarray, " dim"]:
        """`[D]`, True where a dimension is kept."""
        mask = np.zeros(self.n_dims, dtype=bool)
        mask[list(self.indices)] = True
        return mask

    @property
    def variant(self) -> str:
        """The name of its options in `VARIANTS`, or `"custom"` for any other combination.

        Of several, the one that fixes most options is named.
        """
        options = {name: getattr(self, name) for name in _OPTIONS}
        defaults = {"lam": self.lam, "ratio": ONLY_BEST, "center": self.center}
        matching = [name for name, fixed in VARIANTS.items() if {**defaults, **fixed} == options]
        return max(matching, key=lambda name: len(VARIANTS[name]), default="custom")

    def select(self, values: Shaped[np.ndarray, "... dim"]) -> Shaped[np.ndarray, "... kept"]:
        """The kept dimensions of the last axis, best first.

        Raises:
            CodebookError: The last axis does not have D entries.
        """
        if values.shape[-1] != self.n_dims:
            raise CodebookError(f"the last axis has {values.shape[-1]} dimensions; expected {self.n_dims}")
        return values[..., list(self.indices)]

    def _values(self) -> dict[str, Any]:
        return {
            "n_codes": self.n_codes,
            "n_dims": self.n_dims,
            "asked": self.asked,
            "kept": len(self.indices),
            "indices": list(self.indices),
            "variant": self.variant,
            **{name: getattr(self, name) for name in _OPTIONS},
            "centered": self.scores.centered,
            "offset_share": self.scores.offset_share,
            "scores": {name: getattr(self.scores, name).tolist() for name in _SCORE_NAMES},
        }

    @classmethod
    def _fields(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        scores = {name: np.array(values["scores"][name], dtype=np.float64) for name in _SCORE_NAMES}
        return {
            "indices": tuple(index(k) for k in values["indices"]),
            "scores": TOCScores(
                **scores, offset_share=float(values["offset_share"]), centered=bool(values["centered"])
            ),
            "asked": values["asked"],
            "lam": float(values["lam"]),
            "normalize": bool(values["normalize"]),
            "divisor": str(values["divisor"]),
            "ddof": index(values["ddof"]),
            "ratio": str(values["ratio"]),
            "center": values["center"],
            "n_codes": index(values["n_codes"]),
        }

    def _contradiction(self) -> str | None:
        scores = [getattr(self.scores, name) for name in _SCORE_NAMES]
        kept = set(self.indices)
        if (
            scores[0].ndim != 1
            or len({score.shape for score in scores}) != 1
            or len(kept) != len(self.indices)
            or not kept <= set(range(self.n_dims))
        ):
            return "its indices do not fit its scores"
        if not np.isfinite(scores).all():
            return "its scores are not finite"
        check_options(self.lam, self.divisor, self.ddof, self.center)
        parts = sum(parse_ratio(self.ratio))
        size = len(kept) if self.asked == AUTO else how_many(self.asked, self.n_dims)
        if not kept or len(kept) != size // parts * parts:
            return f"{len(kept)} indices, but {self.asked} were asked for at {self.ratio}"
        return None


_SCORE_NAMES = ("score", "similarity", "variance")
_OPTIONS = ("lam", "normalize", "divisor", "ddof", "ratio", "center")


def optimize(
    codebook: ArrayLike,
    n_dims: int | float | np.integer[Any] | str = 0.5,
    lam: float = 0.3,
    normalize: bool = True,
    *,
    divisor: str = "H^2",
    ddof: int = 0,
    ratio: str = ONLY_BEST,
    center: bool | str = AUTO,
    layer: str = "layer0",
) -> TOCSelection:
    """Training-free optimization of a codebook (`min_F S`: FCID paper eq. 5; TOC paper eq. 7).

    Args:
        codebook: `[H, D]` floats.
        n_dims: How many dimensions to keep: an int, a fraction of D, or `"auto"` (see
            `toc.dimensions.automatic_size`).
        lam: See `toc_scores`.
        normalize: See `toc_scores`.
        divisor: See `toc_scores`.
        ddof: See `toc_scores`.
        ratio: Ratio of best to worst dimensions among the kept ones. The papers keep the best only; `"3:1"`
            and `"1:1"` reproduce some of the released scripts, see `best_and_worst_dims`.
        center: See `toc_scores`. It decides which dimensions are kept; `select` returns them as they are, and
            evaluation shows heads the codewords less their mean.
        layer: Name of the codebook in its model, which is written to the record.

    Raises:
        CodebookError: As `toc_scores`, or `n_dims` or `ratio` is wrong.

    >>> codebook = [[1.0, 0.1, 0.2], [1.0, 0.9, -0.3], [1.0, -0.8, 0.1]]
    >>> optimize(codebook, n_dims=2).indices
    (1, 2)
    """
    codes = as_codebook(codebook)
    scores = toc_scores(codes, lam, normalize, divisor=divisor, ddof=ddof, center=center)
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
        center=center,
        layer=layer,
        n_codes=len(codes),
        codebook_sha256=codebook_sha256(codes),
        versions=library_versions(),
    )
