"""TOC as a scikit-learn feature selector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from toc._shapes import Bool
from toc.arrays import CodebookError, without_torch
from toc.dimensions import choose_dims
from toc.scores import toc_scores


class TOCSelector(SelectorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Keep the dimensions that best tell the codes of a codebook apart (FCID paper, section 4.1).

    `fit` uses the codebook only: no data, no labels, no gradient. `transform` then drops the other
    dimensions of any vectors quantized with it. Inside a pipeline that is fitted to data, freeze a fitted
    selector: `make_pipeline(FrozenEstimator(TOCSelector().fit(codebook)), LogisticRegression())`.

    Args:
        n_dims: How many dimensions to keep: an int, a fraction of D, or `"auto"` (see
            `toc.dimensions.automatic_size`).
        lam: See `toc.optimize`; `TOCSelector(128, **VARIANTS["released"])` sets the options of a variant.
        normalize: See `toc.optimize`.
        divisor: See `toc.optimize`.
        ddof: See `toc.optimize`.
        ratio: See `toc.optimize`.
        center: See `toc_scores`.

    Attributes:
        scores_: `TOCScores` of all dimensions.
        indices_: `[kept]` kept dimensions, best first. `get_support` and `transform` keep the input order.
        n_features_in_: D.
        feature_names_in_: `[D]` names of the dimensions, if the codebook was a table with column names.

    >>> selector = TOCSelector(n_dims=1).fit([[1.0, 0.1], [1.0, 0.9], [1.0, -0.8]])
    >>> selector.get_support(indices=True)
    array([1])
    """

    def __init__(
        self,
        n_dims: int | float | np.integer[Any] | str = 0.5,
        lam: float = 0.3,
        normalize: bool = True,
        divisor: str = "H^2",
        ddof: int = 0,
        ratio: str = "1:0",
        center: bool | str = "auto",
    ) -> None:
        self.n_dims = n_dims
        self.lam = lam
        self.normalize = normalize
        self.divisor = divisor
        self.ddof = ddof
        self.ratio = ratio
        self.center = center

    def fit(self, X: Any, y: object = None) -> TOCSelector:
        """Score the dimensions of a codebook and choose the kept ones.

        Args:
            X: `[H, D]` codebook of floats: an array, a table, or a tensor of torch.
            y: Ignored.

        Raises:
            CodebookError: As `toc.optimize`.
        """
        # toc_scores checks the values; its errors name the code.
        codes = without_torch(X)
        codes = codes[0] if getattr(codes, "ndim", 2) == 3 and len(codes) == 1 else codes
        codes = validate_data(self, codes, dtype=None, ensure_all_finite=False, ensure_min_samples=0)
        self.scores_ = toc_scores(
            codes, self.lam, self.normalize, divisor=self.divisor, ddof=self.ddof, center=self.center
        )
        self.indices_ = choose_dims(codes, self.scores_, self.n_dims, self.normalize, self.ratio)
        return self

    def transform(self, X: Any) -> Any:
        """Keep the selected dimensions of the last axis.

        Args:
            X: `[..., D]` quantized vectors, such as `[N, D]` or `[B, T, D]`.

        Returns:
            `[..., kept]`, in the order of the input.

        Raises:
            CodebookError: X has more than two axes, and the output was asked for as a table.
        """
        return self._by_rows(super().transform, X)

    def inverse_transform(self, X: Any) -> Any:
        """Restore all dimensions, with zeros in the dropped ones.

        Args:
            X: `[..., kept]`, the result of `transform`.

        Returns:
            `[..., D]`.
        """
        return self._by_rows(super().inverse_transform, X)

    def _get_support_mask(self) -> Bool[np.ndarray, " dim"]:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.indices_] = True
        return mask

    def _by_rows(self, function: Callable[[Any], Any], values: Any) -> Any:
        """Apply `function`, which takes two axes, to an array with any number of leading axes."""
        values = without_torch(values)
        if getattr(values, "ndim", 2) <= 2:
            return function(values)
        container = getattr(self, "_sklearn_output_config", {}).get("transform")
        container = container or get_config()["transform_output"]
        if container != "default":
            raise CodebookError(
                f"a table of {container} has two axes, and the vectors have {values.ndim}; reshape them to"
                " [rows, dimensions], or use set_output(transform='default')"
            )
        *leading, last = values.shape
        return np.asarray(function(np.reshape(values, (-1, last)))).reshape(*leading, -1)
