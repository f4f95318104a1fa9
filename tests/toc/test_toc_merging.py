"""Merging of codes: planted groups are found, structureless codebooks are refused, records are checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import ortho_group
from sklearn.cluster import AgglomerativeClustering

from toc import CodebookError, CodeMerge, load_codebook, merge_codes
from toc.figure import draw_merge
from toc.ward import WEAK_ELBOW, best_size, height_ratios, variance_within


def planted(groups: int, each: int, dim: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Codewords around `groups` centres in random order, and the centre of each."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(groups), each))
    return rng.normal(size=(groups, dim))[truth] + noise * rng.normal(size=(len(truth), dim)), truth


def same_groups(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.array_equal(first[:, None] == first, second[:, None] == second))


@pytest.mark.parametrize(("groups", "each", "dim"), [(10, 10, 64), (2, 2, 3), (5, 40, 16), (50, 2, 64)])
def test_planted_groups_are_found(groups: int, each: int, dim: int) -> None:
    codes, truth = planted(groups, each, dim, 0.05)
    merge = merge_codes(codes)
    assert (merge.n_groups, merge.n_codes, merge.n_dims) == (groups, groups * each, dim)
    assert same_groups(merge.groups, truth)
    assert merge.ratio > WEAK_ELBOW
    assert merge.warning is None


def test_groups_of_equal_codewords_are_found_although_their_heights_are_zero() -> None:
    codes, truth = planted(6, 5, 8, 0.0)
    merge = merge_codes(codes.astype(np.float32))
    assert same_groups(merge.groups, truth)
    assert np.isfinite(merge.ratio)
    json.dumps(merge.to_json(), allow_nan=False)


def test_a_pair_of_nearly_equal_codewords_is_no_elbow() -> None:
    codes, _ = planted(8, 6, 32, 0.2)
    codes[1] = codes[0] + 1e-4
    assert merge_codes(codes).n_groups == 8


@pytest.mark.parametrize(("codes", "dim"), [(100, 4), (100, 64), (400, 16)])
def test_codes_without_groups_are_refused_unless_a_number_or_force_is_given(codes: int, dim: int) -> None:
    book = np.random.default_rng(0).normal(size=(codes, dim))
    with pytest.raises(CodebookError, match="the elbow is weak: the largest ratio"):
        merge_codes(book)
    for merge in (merge_codes(book, force=True), merge_codes(book, 12)):
        assert merge.warning is not None
        assert "not well separated" in merge.warning
    assert merge_codes(book, 12).n_groups == 12


def test_a_large_ratio_at_few_groups_that_hide_much_of_the_variance_is_refused() -> None:
    rng = np.random.default_rng(0)
    codes = np.where(np.arange(60) < 30, -1.0, 1.0)[:, None] * np.eye(16)[0] + 0.3 * rng.normal(size=(60, 16))
    tree = linkage(codes, "ward")
    assert height_ratios(tree[:, 2])[-1] > WEAK_ELBOW
    assert variance_within(tree[:, 2])[-1] > 0.25
    with pytest.raises(CodebookError, match="the elbow is weak"):
        merge_codes(codes)


@pytest.mark.parametrize("groups", [2, 7, 30])
def test_groups_are_those_of_scipy_and_of_scikit_learn(groups: int) -> None:
    codes = np.random.default_rng(1).normal(size=(40, 5))
    merge = merge_codes(codes, groups)
    tree = linkage(codes, "ward")
    np.testing.assert_allclose(merge.heights, tree[:, 2], rtol=1e-9)
    assert same_groups(merge.groups, fcluster(tree, groups, "maxclust"))
    assert same_groups(merge.groups, AgglomerativeClustering(groups, linkage="ward").fit_predict(codes))
    assert merge.ratio == pytest.approx(tree[40 - groups, 2] / tree[39 - groups, 2])


def test_the_variance_within_groups_is_that_of_the_distances_to_their_means() -> None:
    codes = np.random.default_rng(2).normal(size=(30, 4))
    merge = merge_codes(codes, 6)
    within = ((codes - merge.codewords(codes)[merge.groups]) ** 2).sum()
    assert merge.within == pytest.approx(within / ((codes - codes.mean(axis=0)) ** 2).sum())


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    shift=st.floats(-100, 100),
    scale=st.floats(1e-3, 1e3),
    groups=st.integers(2, 12),
)
def test_neither_offset_nor_scale_nor_rotation_nor_order_matters(
    seed: int, shift: float, scale: float, groups: int
) -> None:
    rng = np.random.default_rng(seed)
    codes, order = rng.normal(size=(24, 5)), rng.permutation(24)
    turned = (codes @ ortho_group.rvs(5, random_state=seed) + shift) * scale
    plain, other = merge_codes(codes, groups), merge_codes(turned[order], groups)
    assert same_groups(plain.groups[order], other.groups)
    assert other.ratio == pytest.approx(plain.ratio, rel=1e-6)
    assert best_size(other.heights) == best_size(plain.heights)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(codes=st.integers(3, 30), data=st.data())
def test_groups_are_numbered_by_their_first_codes_and_there_are_as_many_as_asked(
    codes: int, data: st.DataObject
) -> None:
    groups = data.draw(st.integers(2, codes - 1))
    book = np.random.default_rng(codes).integers(0, 3, size=(codes, 2)).astype(np.float32)  # with equal codes
    book[0] += 10
    merge = merge_codes(book, groups)
    first = [merge.groups.tolist().index(group) for group in range(groups)]
    assert first == sorted(first)
    assert merge.n_groups == groups
    assert (CodeMerge.from_json(merge.to_json()).groups == merge.groups).all()


def test_a_group_is_the_mean_of_its_codewords_and_indices_become_groups() -> None:
    codes, _ = planted(4, 3, 6, 0.05)
    merge = merge_codes(codes.astype(np.float32))
    means = merge.codewords(codes.astype(np.float32))
    assert means.dtype == np.float32
    for group in range(4):
        np.testing.assert_allclose(means[group], codes[merge.groups == group].mean(axis=0), rtol=1e-5)
    indices = np.array([[0, 5], [11, 0]])
    assert (merge.merge(indices) == merge.groups[indices]).all()
    with pytest.raises(CodebookError, match="not between 0 and 11"):
        merge.merge(np.array([12]))


def test_a_record_survives_the_disk_and_refuses_another_codebook(tmp_path: Path) -> None:
    codes, _ = planted(4, 3, 6, 0.05)
    merge = merge_codes(codes, layer="layer1")
    loaded = CodeMerge.load(merge.save(tmp_path))
    assert loaded.to_json() == merge.to_json() == json.loads((tmp_path / "merge.json").read_text())
    loaded.check(codes)
    for other in (codes + 0.1, codes[:, :5], codes[:11]):
        with pytest.raises(CodebookError, match="another codebook"):
            loaded.codewords(other)


@pytest.mark.parametrize(
    "damage",
    [
        {"format_version": 2},
        {"groups": [0, 1, 2, 3]},
        {"groups": [0, 2, 0, 2, 0, 2, 0, 2]},
        {"groups": [0, 1, 0, 1, 0, 1, 0, 1.5]},
        {"groups": [0, -1, 0, 1, 0, 1, 0, 1]},
        {"heights": [1.0] * 6},
        {"heights": [3.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0]},
        {"heights": [float("nan")] * 7},
        {"heights": [0.0] * 7},
        {"asked": 3},
        {"asked": None},
        {"codebook_sha256": 1, "versions": None},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(damage: dict[str, Any]) -> None:
    values = merge_codes(planted(2, 4, 3, 0.05)[0]).to_json()
    with pytest.raises(CodebookError, match="not a record of merged codes"):
        CodeMerge.from_json({**values, **damage})


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"format_version": 1}', "[" * 100_000])
def test_a_file_that_is_no_record_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "merge.json").write_text(text)
    with pytest.raises(CodebookError, match=r"merge\.json"):
        CodeMerge.load(tmp_path)


@pytest.mark.parametrize(
    ("codes", "asked", "says"),
    [
        (np.ones((5, 3)), "auto", "all codewords are equal"),
        (np.full((5, 3), 0.1, np.float32), 2, "all codewords are equal"),
        (np.eye(3), "auto", "too few"),
        (np.eye(5), 5, "between 2 and 4"),
        (np.eye(5), 1, "between 2 and 4"),
        (np.eye(5), True, "between 2 and 4"),
        (np.eye(5), "half", "between 2 and 4"),
        (np.full((5, 3), np.nan), "auto", "NaN"),
        (np.zeros((20_001, 1)), "auto", "at most 20000"),
        (np.arange(12).reshape(4, 3), "auto", "integers"),
    ],
)
def test_what_cannot_be_merged_is_refused(codes: np.ndarray, asked: Any, says: str) -> None:
    with pytest.raises(CodebookError, match=says):
        merge_codes(codes, asked)


def test_the_figure_shows_heights_and_ratios(tmp_path: Path) -> None:
    for noise in (0.0, 0.05):
        figure = draw_merge(merge_codes(planted(3, 4, 5, noise)[0]), tmp_path / "merge.png")
        assert len(figure.axes) == 2
    assert (tmp_path / "merge.png").read_bytes().startswith(b"\x89PNG")


def test_the_merged_codebook_on_disk_is_read_like_any_other(tmp_path: Path) -> None:
    from toc import find_codebooks
    from toc.outputs import merge

    codes, _ = planted(4, 5, 6, 0.05)
    np.savez(tmp_path / "books.npz", first=codes, second=codes[:10] * 2)
    done = merge(find_codebooks(tmp_path / "books.npz"), tmp_path / "merge", "all")
    assert [each.merge.layer for each in done] == ["first", "second"]
    assert load_codebook(tmp_path / "merge" / "first" / "codebook.npy").vectors.shape == (4, 6)
    np.savez(tmp_path / "books.npz", first=codes, second=np.random.default_rng(0).normal(size=(20, 6)))
    with pytest.raises(CodebookError, match=r"books\.npz \(second\): the elbow is weak"):
        merge(find_codebooks(tmp_path / "books.npz"), tmp_path / "none", "all")
    assert not (tmp_path / "none").exists()
