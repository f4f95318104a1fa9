"""Centring: a common offset of the codewords decides neither what is kept nor how many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toc import VARIANTS, CodebookError, TOCSelection, TOCSelector, find_codebooks, optimize, toc_scores
from toc.arrays import mean_and_offset
from toc.dimensions import effective_dims
from toc.outputs import refine
from toc.scores import OFFSET_CENTERED


def codebook(offset: float = 0.0, seed: int = 0, codes: int = 30, dim: int = 12) -> np.ndarray:
    """Codewords whose first half of the dimensions varies more and has the offset."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(codes, dim)) * np.where(np.arange(dim) < dim // 2, 1.0, 0.3)
    return values + offset * (np.arange(dim) < dim // 2)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    normalize=st.booleans(),
    offset=st.floats(-50, 50),
    lam=st.floats(0, 1),
)
def test_a_centred_score_is_the_score_of_the_codebook_less_its_mean_whatever_the_offset(
    seed: int, normalize: bool, offset: float, lam: float
) -> None:
    codes = codebook(0.0, seed)
    expected = toc_scores(codes - codes.mean(axis=0), lam, normalize)
    found = toc_scores(codes + offset, lam, normalize, center=True)
    for name in ("similarity", "variance", "score"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-7, atol=1e-12)
    assert found.centered
    assert not expected.centered


@pytest.mark.parametrize("normalize", [True, False])
def test_the_selector_and_the_number_of_auto_are_those_of_the_codebook_less_its_mean(normalize: bool) -> None:
    codes = codebook(3.0)
    less = codes - codes.mean(axis=0)
    for size in (4, 0.5, "auto"):
        expected = optimize(less, size, normalize=normalize, center=False).indices
        assert optimize(codes, size, normalize=normalize, center=True).indices == expected
        selector = TOCSelector(size, normalize=normalize, center=True).fit(codes)
        assert selector.indices_.tolist() == list(expected)
    centred = toc_scores(codes, normalize=normalize, center=True)
    assert effective_dims(codes, centred, normalize) == pytest.approx(
        effective_dims(less, toc_scores(less, normalize=normalize), normalize)
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), offset=st.floats(0, 4))
def test_the_offset_share_is_that_of_the_squared_length_and_decides_of_auto(seed: int, offset: float) -> None:
    codes = codebook(offset, seed)
    share = (codes.mean(axis=0) ** 2).sum() / (codes**2).sum(axis=1).mean()
    scores = toc_scores(codes, center="auto")
    assert scores.offset_share == pytest.approx(share)
    assert scores.centered == (share > OFFSET_CENTERED)
    other = toc_scores(codes, center=bool(scores.centered))
    np.testing.assert_array_equal(scores.score, other.score)


def test_an_offset_makes_toc_drop_what_tells_codes_apart_unless_it_is_centred() -> None:
    codes = codebook(3.0)
    assert sorted(optimize(codes, 6, **VARIANTS["paper"]).indices) == [*range(6, 12)]
    assert sorted(optimize(codes, 6).indices) == [*range(6)]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "corrected"])
def test_variants_of_the_papers_and_of_the_released_code_never_centre(variant: str) -> None:
    codes = codebook(3.0)
    selection = optimize(codes, 4, **VARIANTS[variant])
    assert not selection.scores.centered
    assert selection.variant == variant
    assert not TOCSelector(4, **VARIANTS[variant]).fit(codes).scores_.centered


def test_scores_are_not_centred_unless_asked_to() -> None:
    assert not toc_scores(codebook(3.0)).centered
    assert toc_scores(codebook(3.0), center="auto").centered


def test_a_code_that_equals_the_mean_counts_as_zero() -> None:
    codes = np.array([[3.1, 1.0], [3.1, 3.0], [3.1, 2.0], [5.1, 2.0], [1.1, 2.0]])  # the third is the mean
    scores = toc_scores(codes, center=True)
    np.testing.assert_allclose(scores.variance, [2 / 5, 2 / 5])
    np.testing.assert_allclose(scores.similarity, [-2 / 25, -2 / 25])
    assert not toc_scores(np.full((6, 3), 0.1), center="auto").variance.any()


def test_nothing_overflows_and_zero_codebooks_have_no_offset() -> None:
    assert mean_and_offset(np.zeros((3, 2)))[1] == 0
    assert 0 <= mean_and_offset(np.full((3, 2), 1e150))[1] <= 1


@pytest.mark.parametrize("center", ["mean", 1.5, None])
def test_another_value_is_refused(center: Any) -> None:
    values = optimize(codebook(), 4).to_json()
    with pytest.raises(CodebookError, match=r"center is .*; expected True|not a TOC selection"):
        TOCSelection.from_json({**values, "center": center})


def test_the_record_and_the_summary_tell_the_offset(tmp_path: Path) -> None:
    for offset, center, centered in (
        (3.0, None, True),
        (0.0, None, False),
        (3.0, False, False),
        (0.0, True, True),
    ):
        np.save(tmp_path / "book.npy", codebook(offset))
        (refined,) = refine(find_codebooks(tmp_path / "book.npy"), tmp_path / "out", n_dims=4, center=center)
        record = json.loads((tmp_path / "out" / "toc.json").read_text())
        assert (record["center"], record["centered"]) == ("auto" if center is None else center, centered)
        assert (
            f"; offset share {record['offset_share']:.2f}{', mean subtracted' * centered}; "
            in refined.summary()
        )
        assert TOCSelection.load(tmp_path / "out").to_json() == record
    with pytest.raises(CodebookError, match="the variant 'paper' has center = False; leave center out"):
        refine(find_codebooks(tmp_path / "book.npy"), tmp_path / "out", center=True, variant="paper")
