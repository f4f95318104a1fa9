"""TOC as a scikit-learn feature selector."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from toc.ranking import best_dims
from toc.scores import toc_scores


class TOCSelector(SelectorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Keep the dimensions that tell the codes of a codebook apart best (FCID paper, section 4.1).

    `fit` looks at a codebook alone: no data, no labels, no gradient. `transform` then drops the other
    dimensions of anything quantized with it.

    Args:
        n_dims: How many dimensions to keep: an int, or a fraction of D.
        lam, normalize, divisor, ddof: See `toc.toc_scores`.

    Attributes:
        scores_: `TOCScores` of all dimensions.
        indices_: `[kept]` kept dimensions, best first. `get_support` and `transform` keep the input order.
        n_features_in_: D.

    >>> selector = TOCSelector(n_dims=1).fit([[1.0, 0.1], [1.0, 0.9], [1.0, -0.8]])
    >>> selector.get_support(indices=True)
    array([1])
    """

    def __init__(
        self,
        n_dims: int | float | np.integer[Any] = 0.5,
        lam: float = 0.3,
        normalize: bool = True,
        divisor: str = "H^2",
        ddof: int = 0,
    ) -> None:
        self.n_dims = n_dims
        self.lam = lam
        self.normalize = normalize
        self.divisor = divisor
        self.ddof = ddof

    def fit(self, X: Any, y: object = None) -> TOCSelector:
        """Score the dimensions of a codebook.

        Args:
            X: `[H, D]` codebook of floats.
            y: Ignored.

        Raises:
            CodebookError: As `toc.toc_scores`, or `n_dims` is out of range.
        """
        # Values are judged by toc_scores, whose errors speak of codes.
        codes = validate_data(self, X, dtype=None, ensure_all_finite=False, ensure_min_samples=0)
        self.scores_ = toc_scores(codes, self.lam, self.normalize, divisor=self.divisor, ddof=self.ddof)
        self.indices_ = best_dims(self.scores_.score, self.n_dims)
        return self

    def transform(self, X: Any) -> Any:
        """Keep the selected dimensions of the last axis.

        Args:
            X: `[..., D]` quantized vectors, such as `[N, D]` or `[B, T, D]`.

        Returns:
            `[..., kept]`, in the order of the input.
        """
        if getattr(X, "ndim", 2) <= 2:
            return super().transform(X)
        rows: Shaped[np.ndarray, "rows kept"] = super().transform(np.reshape(X, (-1, X.shape[-1])))
        return rows.reshape(*X.shape[:-1], -1)

    def _get_support_mask(self) -> Bool[np.ndarray, " dim"]:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.indices_] = True
        return mask
