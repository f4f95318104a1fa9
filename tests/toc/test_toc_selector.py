from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from toc import CodebookError, TOCSelector, best_dims, toc_scores

_REFUSED = "a codebook of whole numbers or objects is refused: it holds indices"


@parametrize_with_checks(
    [TOCSelector()],
    expected_failed_checks=lambda _: {
        "check_estimators_dtypes": _REFUSED,
        "check_dtype_object": _REFUSED,
        "check_do_not_raise_errors_in_init_or_set_params": "argument types are checked in tests, in init too",
    },
)
def test_the_selector_is_a_scikit_learn_estimator(estimator: BaseEstimator, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def codebook(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(30, 8))


def test_the_selector_keeps_the_dimensions_of_the_scores() -> None:
    codes = codebook()
    selector = TOCSelector(n_dims=3, lam=0.1, normalize=False, divisor="H(H-1)", ddof=1).fit(codes)
    score = toc_scores(codes, 0.1, False, divisor="H(H-1)", ddof=1).score
    np.testing.assert_array_equal(selector.scores_.score, score)
    np.testing.assert_array_equal(selector.indices_, best_dims(score, 3))
    assert selector.get_support(indices=True).tolist() == sorted(selector.indices_.tolist())
    assert selector.get_feature_names_out().tolist() == [f"x{k}" for k in sorted(selector.indices_)]


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), n_dims=st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_transform_takes_any_leading_axes(shape: list[int], n_dims: int) -> None:
    selector = TOCSelector(n_dims).fit(codebook())
    values = np.random.default_rng(1).normal(size=(*shape, 8))
    np.testing.assert_array_equal(selector.transform(values), values[..., selector.get_support()])


def test_inverse_transform_puts_zeros_where_a_dimension_was_dropped() -> None:
    codes = codebook()
    selector = TOCSelector(3).fit(codes)
    back = selector.inverse_transform(selector.transform(codes))
    np.testing.assert_array_equal(back, np.where(selector.get_support(), codes, 0))


def test_the_selector_works_in_a_pipeline_and_is_cloned_with_its_settings() -> None:
    assert make_pipeline(StandardScaler(), TOCSelector(2)).fit_transform(codebook()).shape == (30, 2)
    assert clone(TOCSelector(5, lam=0.7)).get_params()["lam"] == 0.7


@pytest.mark.parametrize("n_dims", [0, 9, 1.5])
def test_more_dimensions_than_there_are_is_refused(n_dims: float) -> None:
    with pytest.raises(CodebookError, match="n_dims"):
        TOCSelector(n_dims).fit(codebook())


def test_code_indices_are_not_a_codebook() -> None:
    with pytest.raises(CodebookError, match="code indices"):
        TOCSelector().fit(np.arange(20).reshape(5, 4))


def test_importing_toc_loads_neither_torch_nor_scikit_learn_nor_matplotlib() -> None:
    heavy = ("torch", "sklearn", "scipy", "matplotlib", "unicode_cmg")
    script = f"import sys, toc; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    import toc

    assert all(getattr(toc, name) is not None for name in toc.__all__)
    with pytest.raises(AttributeError, match="no_such"):
        toc.no_such  # noqa: B018


@pytest.mark.parametrize("module", ["toc", "toc.scores", "toc.selector"])
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried > 0
    assert failed == 0
