from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toc import CodebookError, TOCSelector, optimize, toc_scores
from toc.dimensions import effective_dims


def codebook(codes: int = 60, dim: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1.0, (codes, dim))


def eigenvalue_ratio(codes: np.ndarray, normalize: bool) -> float:
    if normalize:
        codes = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(np.cov(codes, rowvar=False, ddof=0))
    return float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("shape", [(60, 12), (12, 60), (3000, 50)])
def test_effective_dimensions_are_those_of_the_eigenvalues(normalize: bool, shape: tuple[int, int]) -> None:
    codes = codebook(*shape) * np.linspace(0.1, 2, shape[1])
    scores = toc_scores(codes, normalize=normalize)
    assert effective_dims(codes, scores, normalize) == pytest.approx(eigenvalue_ratio(codes, normalize))


@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(1, 8), lam=st.floats(0, 1), normalize=st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_subset_of_any_size_has_a_larger_sum_unless_the_codes_need_more(
    seed: int, dim: int, lam: float, normalize: bool
) -> None:
    codes = codebook(9, dim, seed)
    selection = optimize(codes, "auto", lam, normalize)
    score = selection.scores.score
    subsets = (list(s) for size in range(1, dim + 1) for s in combinations(range(dim), size))
    best = max(score[subset].sum() for subset in subsets)
    needed = int(np.ceil(eigenvalue_ratio(codes, normalize) - 1e-6)) if dim > 1 else 1
    assert len(selection.indices) >= needed
    if len(selection.indices) > needed:
        assert score[list(selection.indices)].sum() == pytest.approx(best, abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-20, 20), normalize=st.booleans())
@settings(max_examples=40, deadline=None)
def test_neither_the_order_of_the_codes_nor_a_common_scale_matters(
    seed: int, exponent: int, normalize: bool
) -> None:
    codes = codebook(30, 9, seed)
    indices = optimize(codes, "auto", normalize=normalize).indices
    shuffled = np.random.default_rng(seed).permutation(codes)
    assert optimize(shuffled, "auto", normalize=normalize).indices == indices
    assert optimize(2.0**exponent * codes, "auto", normalize=normalize).indices == indices


@pytest.mark.parametrize("normalize", [True, False])
def test_dimensions_that_all_codes_share_are_dropped(normalize: bool) -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(4000, 8)) @ rng.normal(size=(8, 40))  # few directions, as trained ones
    codes[:, [3, 17, 30]] += 10
    kept = optimize(codes, "auto", normalize=normalize, center=False).indices
    assert sorted({*range(40)} - {*kept}) == [3, 17, 30]


def test_codes_that_differ_alike_in_every_direction_keep_every_dimension() -> None:
    codes = np.concatenate([np.eye(6), -np.eye(6)])
    codes[:, 2] += 3
    selection = optimize(codes, "auto", normalize=False, center=False)
    assert np.count_nonzero(selection.scores.score > 0) == 5
    assert len(selection.indices) == 6


def test_an_offset_common_to_all_dimensions_leaves_as_many_as_the_codes_need() -> None:
    codes = np.random.default_rng(0).normal(size=(400, 40))
    codes[:, 5:] *= 0.01
    codes += 10 - codes.mean(axis=0)
    selection = optimize(codes, "auto", normalize=False, center=False)
    assert (selection.scores.score < 0).all()
    assert sorted(selection.indices) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("codes", "kept"),
    [
        (np.ones((5, 4)), 1),  # no code differs from another
        (np.array([[1.0], [2.0], [4.0]]), 1),
        (np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), 2),  # the constant dimension has score 0
        (np.array([[1.0, 0.0], [-1.0, 0.0]]), 1),
        (np.concatenate([np.eye(6), -np.eye(6)]), 6),
    ],
)
def test_degenerate_codebooks_keep_at_least_one_dimension(codes: np.ndarray, kept: int) -> None:
    assert len(optimize(codes, "auto").indices) == kept


def test_values_whose_fourth_power_overflows_are_fine() -> None:
    codes = codebook()
    large = optimize(1e100 * codes, "auto", normalize=False)
    assert large.indices == optimize(codes, "auto", normalize=False).indices


def test_the_record_says_that_the_number_was_not_asked_for() -> None:
    codes = codebook()
    assert [optimize(codes, asked).asked for asked in ("auto", 3, 0.5, np.int64(3))] == ["auto", 3, 0.5, 3]


def test_the_selector_chooses_as_the_function_does() -> None:
    codes = codebook()
    assert tuple(TOCSelector("auto", lam=0.1).fit(codes).indices_) == optimize(codes, "auto", 0.1).indices


@pytest.mark.parametrize("n_dims", ["most", "", "0.5"])
def test_another_word_than_auto_is_refused(n_dims: str) -> None:
    with pytest.raises(CodebookError, match="'auto'"):
        optimize(codebook(), n_dims)
