"""Numbers of the result tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from sklearn.metrics import accuracy_score


def accuracy(labels: Int64[np.ndarray, " rows"], predictions: Int64[np.ndarray, " rows"]) -> float:
    """Share of correct rows, in percent. (The DCID paper calls it precision on AVE.)"""
    return 100.0 * float(accuracy_score(labels, predictions))


def majority_accuracy(train_labels: Int64[np.ndarray, " train"], labels: Int64[np.ndarray, " rows"]) -> float:
    """Accuracy, in percent, of always answering the most frequent class of the training rows."""
    return accuracy(labels, np.full_like(labels, np.bincount(train_labels).argmax()))


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); a single value has no deviation."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
