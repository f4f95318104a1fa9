from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metrics import accuracy, majority_accuracy, mean_and_std


def test_accuracy_is_in_percent() -> None:
    assert accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0])) == 75


def test_the_majority_is_that_of_the_training_labels() -> None:
    assert majority_accuracy(np.array([1, 1, 0]), np.array([0, 0, 0, 1])) == 25


def test_one_value_has_no_deviation() -> None:
    assert mean_and_std([3.0]) == (3.0, None)
    mean, std = mean_and_std([1.0, 3.0])
    assert (mean, std) == (2.0, pytest.approx(2**0.5))
