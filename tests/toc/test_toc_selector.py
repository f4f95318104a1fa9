from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import numpy as np
import pyarrow
import pytest
import sklearn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from toc import VARIANTS, CodebookError, TOCSelector, best_dims, optimize, toc_scores
from toc.figure import mean_similarity

_REFUSED = "whole numbers and objects are no codebook: they are indices, or hold them"


@parametrize_with_checks(
    [TOCSelector(), TOCSelector("auto", **VARIANTS["released-similarity"])],
    expected_failed_checks=lambda _: {
        "check_estimators_dtypes": _REFUSED,
        "check_dtype_object": _REFUSED,
        "check_do_not_raise_errors_in_init_or_set_params": "tests check types; see the next one",
    },
)
def test_the_selector_is_a_scikit_learn_estimator(estimator: BaseEstimator, check: object) -> None:
    check(estimator)  # type: ignore[operator]


@pytest.mark.slow
def test_settings_are_judged_by_fit_alone() -> None:
    check = "check_do_not_raise_errors_in_init_or_set_params"
    run_alone(
        f"from sklearn.utils.estimator_checks import {check}\n"
        f"from toc import TOCSelector\n"
        f"{check}('TOCSelector', TOCSelector())"
    )
    with pytest.raises(CodebookError, match="lam"):
        TOCSelector(lam=3.0).fit(codebook())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_type_is_fitted_and_kept_by_transform(dtype: type) -> None:
    codes = codebook().astype(dtype)
    assert TOCSelector(3).fit(codes).transform(codes).dtype == dtype


@pytest.mark.parametrize("codes", [np.arange(20).reshape(5, 4), np.ones((5, 4), bool)])
def test_code_indices_are_not_a_codebook(codes: np.ndarray) -> None:
    with pytest.raises(CodebookError, match="code indices"):
        TOCSelector().fit(codes)


def test_an_array_of_objects_is_not_a_codebook() -> None:
    with pytest.raises(CodebookError, match="dtype object"):
        TOCSelector().fit(codebook().astype(object))


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


@pytest.mark.parametrize("shape", [(30, 8), (2, 3, 8), (2, 3, 4, 8)])
def test_inverse_transform_puts_zeros_where_a_dimension_was_dropped(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    selector = TOCSelector(3).fit(codebook())
    back = selector.inverse_transform(selector.transform(values))
    np.testing.assert_array_equal(back, np.where(selector.get_support(), values, 0))


def table() -> pyarrow.Table:
    return pyarrow.table({name: codebook()[:, k] for k, name in enumerate("abcdefgh")})


def test_names_of_columns_come_out_of_the_selector() -> None:
    selector = TOCSelector(3).fit(table())
    assert selector.feature_names_in_.tolist() == list("abcdefgh")
    kept = ["abcdefgh"[k] for k in selector.get_support(indices=True)]
    assert selector.get_feature_names_out().tolist() == kept


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_table_comes_out_if_asked_for(library: str) -> None:
    pytest.importorskip(library)
    frame = (
        table().to_pandas() if library == "pandas" else importlib.import_module("polars").from_arrow(table())
    )
    selector = TOCSelector(3).set_output(transform=library).fit(frame)
    assert list(selector.transform(frame).columns) == selector.get_feature_names_out().tolist()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.nn.Parameter(torch.arange(24.0).reshape(6, 4)),
        torch.arange(24.0).reshape(6, 4).bfloat16(),
        torch.arange(24.0).reshape(1, 6, 4),
        torch.nn.Parameter(torch.arange(24.0).reshape(1, 6, 4).bfloat16()),
    ],
    ids=["a parameter", "bfloat16", "one head", "all at once"],
)
def test_tensors_are_taken_as_they_are_in_a_model(tensor: torch.Tensor) -> None:
    plain = np.arange(24.0).reshape(6, 4)
    assert optimize(tensor, 2).indices == optimize(plain, 2).indices
    selector = TOCSelector(2).fit(tensor)
    assert selector.indices_.tolist() == list(optimize(plain, 2).indices)
    vectors = torch.randn(3, 5, 4, requires_grad=True)
    kept = selector.transform(vectors)
    np.testing.assert_array_equal(kept, vectors.detach().numpy()[..., selector.get_support()])
    assert selector.inverse_transform(torch.from_numpy(kept)).shape == (3, 5, 4)


def test_a_table_of_three_axes_is_refused() -> None:
    selector = TOCSelector(2).fit(np.random.default_rng(0).normal(size=(6, 4))).set_output(transform="pandas")
    with pytest.raises(
        CodebookError, match=r"a table of pandas has two axes, and the vectors have 3; reshape"
    ):
        selector.transform(np.ones((2, 3, 4)))
    with sklearn.config_context(transform_output="pandas"), pytest.raises(CodebookError, match="a table"):
        TOCSelector(2).fit(np.random.default_rng(0).normal(size=(6, 4))).transform(np.ones((2, 3, 4)))


def test_the_selector_works_in_a_pipeline_and_is_cloned_with_its_settings() -> None:
    assert make_pipeline(StandardScaler(), TOCSelector(2)).fit_transform(codebook()).shape == (30, 2)
    settings = {"n_dims": "auto", "lam": 0.7, "ratio": "3:1", "normalize": False, "divisor": "H^2", "ddof": 1}
    settings["center"] = True
    assert clone(TOCSelector(**settings)).get_params() == settings


def test_a_frozen_selector_is_fitted_to_the_codebook_and_its_pipeline_to_data() -> None:
    rng = np.random.default_rng(1)
    codes, labels = codebook(), rng.integers(0, 2, 200)
    selector = TOCSelector(3).fit(codes)
    vectors = codes[rng.integers(0, len(codes), 200)]
    vectors[:, selector.indices_[0]] += 20 * labels
    model = make_pipeline(FrozenEstimator(selector), LogisticRegression()).fit(vectors, labels)
    assert model.score(vectors, labels) == 1
    np.testing.assert_array_equal(model[0].get_support(), selector.get_support())


def test_each_part_of_the_columns_can_have_its_selector() -> None:
    parts = [("left", TOCSelector(2), [0, 1, 2, 3]), ("right", TOCSelector(1), [4, 5, 6, 7])]
    codes = codebook()
    together = ColumnTransformer(parts).fit(codes)
    left, right = TOCSelector(2).fit(codes[:, :4]), TOCSelector(1).fit(codes[:, 4:])
    expected = np.hstack([left.transform(codes[:, :4]), right.transform(codes[:, 4:])])
    np.testing.assert_array_equal(together.transform(codes), expected)


def test_lam_can_be_searched_with_a_score_of_ones_own() -> None:
    codes = codebook() + np.linspace(0, 2, 8)

    def distinct(selector: TOCSelector, values: np.ndarray, _: object = None) -> float:
        return -mean_similarity(selector.transform(values))

    search = GridSearchCV(TOCSelector(3), {"lam": [0.0, 0.5, 1.0]}, scoring=distinct, cv=3).fit(codes)
    assert search.best_params_ == {"lam": 0.0}
    np.testing.assert_array_equal(
        search.best_estimator_.indices_, TOCSelector(3, lam=0.0).fit(codes).indices_
    )


@pytest.mark.parametrize("n_dims", [0, 9, 1.5])
def test_more_dimensions_than_there_are_is_refused(n_dims: float) -> None:
    with pytest.raises(CodebookError, match="n_dims"):
        TOCSelector(n_dims).fit(codebook())


def run_alone(script: str) -> str:
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_toc_loads_little_more_than_numpy() -> None:
    heavy = ("torch", "sklearn", "scipy", "matplotlib", "jaxtyping", "unicode_cmg")
    script = f"import sys, toc; print([name for name in {heavy} if name in sys.modules])"
    assert run_alone(script).strip() == "[]"


def test_signatures_can_be_read_without_jaxtyping() -> None:
    script = "import typing, toc; print(typing.get_type_hints(toc.best_dims)['return'].__name__)"
    assert run_alone(script).strip() == "ndarray"


def test_every_public_name_exists() -> None:
    import toc

    assert all(getattr(toc, name) is not None for name in toc.__all__)
    with pytest.raises(AttributeError, match="no_such"):
        toc.no_such  # noqa: B018


@pytest.mark.parametrize("module", ["toc", "toc.selection", "toc.requantizing", "toc.scores", "toc.selector"])
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried > 0
    assert failed == 0
