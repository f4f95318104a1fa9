"""An oracle: the dimensions that a sparse classifier with labels leans on."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from benchmarks.refinement.views import KeptDims, LayerView
from benchmarks.refinement.way import LayerMaterial, Way


class L1Way(Way):
    """Dimensions that logistic regressions with an L1 penalty lean on most.

    It looks at the labels of the training clips of the source modality, which the others may not: what it
    gains over them is the price of going without. There is one regression for each class, on the codewords
    of each step where steps have labels, else on their mean over the steps of a clip. The importance of a
    dimension is the sum over the classes of its absolute weights, times its standard deviation.

    Dimensions keep their scales, as heads see them: standardised, those that hardly vary would look as good
    as any, and heads, which learn in steps of one length, can do little with them.
    """

    uses_labels: ClassVar[bool] = True

    way: Literal["l1"]
    strength: float = Field(
        default=0.1,
        gt=0,
        description="inverse weight of the penalty (C of scikit-learn), for codes with a mean variance of 1",
    )

    def views(self, layer: LayerMaterial) -> list[list[LayerView]]:
        order = np.argsort(-self.importances(layer), kind="stable")
        return [[KeptDims(np.sort(order[:count]).astype(np.int64))] for count in self.counts(layer)]

    def importances(self, layer: LayerMaterial) -> Float[np.ndarray, " dim"]:
        """How much the regressions lean on each dimension."""
        from sklearn.multiclass import OneVsRestClassifier

        codes, labels = layer.training_clips()
        if labels.ndim == 1:
            rows, truth = codes.mean(axis=1), labels[:, None] == np.unique(labels)
        else:
            rows, truth = codes.reshape(-1, codes.shape[-1]), labels.reshape(-1, labels.shape[-1]) > 0
        truth = truth[:, truth.any(axis=0) & ~truth.all(axis=0)]
        rows = rows.astype(np.float64)
        rows -= rows.mean(axis=0)
        spread = rows.std(axis=0)
        rows /= np.sqrt(np.square(spread).mean()) or 1.0
        models = OneVsRestClassifier(_sparse_regression(self.strength)).fit(rows, truth.astype(np.int64))
        weights = np.concatenate([model.coef_ for model in models.estimators_])
        total: Float[np.ndarray, " dim"] = np.abs(weights).sum(axis=0) * spread
        return total


def _sparse_regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    # penalty="l1" became l1_ratio=1 in scikit-learn 1.8, and each is refused by versions of the other kind
    named_before = LogisticRegression().get_params().get("penalty") == "l2"
    options: dict[str, Any] = {"penalty": "l1"} if named_before else {"l1_ratio": 1.0}
    return LogisticRegression(C=strength, solver="liblinear", random_state=0, **options)
