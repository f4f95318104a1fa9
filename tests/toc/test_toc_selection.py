from __future__ import annotations

import hashlib
import json
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toc import CodebookError, TOCSelection, best_and_worst_dims, best_dims, codebook_sha256, optimize


def codebook(codes: int = 20, dim: int = 10, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(codes, dim)).astype(np.float32)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=20), st.data())
def test_equal_scores_are_ordered_by_index(score: list[float], data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, len(score)))
    expected = sorted(range(len(score)), key=lambda k: (-score[k], k))[:keep]
    assert best_dims(np.array(score), keep).tolist() == expected


@pytest.mark.parametrize(
    ("n_dims", "kept"),
    [(1, 1), (10, 10), (0.5, 5), (1.0, 10), (0.34, 3), (0.36, 4), (0.01, 1), (np.int64(4), 4)],
)
def test_dimensions_are_counted_or_a_fraction(n_dims: float, kept: int) -> None:
    assert len(best_dims(np.arange(10.0), n_dims)) == kept


@pytest.mark.parametrize("n_dims", [0, -1, 11, 0.0, 1.5, True, float("nan")])
def test_a_wrong_number_of_dimensions_is_refused(n_dims: float) -> None:
    with pytest.raises(CodebookError, match="n_dims"):
        best_dims(np.arange(10.0), n_dims)


@pytest.mark.parametrize(("best", "worst"), [(0, 0), (-1, 2), (9, 2)])
def test_a_ratio_that_keeps_nothing_is_refused(best: int, worst: int) -> None:
    with pytest.raises(CodebookError):
        best_and_worst_dims(np.arange(10.0), 10, best, worst)


def test_the_record_holds_what_was_asked_and_what_came_out() -> None:
    codes = codebook()
    selection = optimize(
        codes, 4, 0.2, normalize=False, divisor="H(H-1)", ddof=1, center=False, layer="layer1"
    )
    assert selection.indices == tuple(best_dims(selection.scores.score, 4).tolist())
    assert np.flatnonzero(selection.mask).tolist() == sorted(selection.indices)
    assert (selection.lam, selection.layer, selection.n_dims, selection.n_codes) == (0.2, "layer1", 10, 20)
    assert (selection.asked, selection.variant, selection.ratio) == (4, "released", "1:0")
    assert selection.versions["numpy"] == np.__version__


def test_selecting_keeps_the_leading_axes_and_puts_the_best_first() -> None:
    selection = optimize(codebook(), 3)
    values = np.random.default_rng(1).normal(size=(2, 5, 10))
    np.testing.assert_array_equal(selection.select(values), values[..., list(selection.indices)])
    with pytest.raises(CodebookError, match="9 dimensions; expected 10"):
        selection.select(values[..., :9])


def test_the_fingerprint_is_of_shape_and_little_endian_float32() -> None:
    codes = np.array([[1.5, -2.0, 0.25], [0.0, 3.0, 4.0]])
    written = b"2x3" + struct.pack("<6f", *codes.ravel())
    assert codebook_sha256(codes) == hashlib.sha256(written).hexdigest()
    assert codebook_sha256(np.asfortranarray(codes.astype(">f4"))) == codebook_sha256(codes)
    assert codebook_sha256(codes.reshape(3, 2)) != codebook_sha256(codes)


def test_the_fingerprint_of_a_huge_codebook_needs_no_copy_of_it() -> None:
    codes = np.ones((100_000, 64))
    tracemalloc.start()
    codebook_sha256(codes)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < codes.nbytes / 10
    written = hashlib.sha256(b"100000x64" + codes.astype("<f4").tobytes()).hexdigest()
    assert codebook_sha256(codes) == written


def test_values_beyond_float32_have_a_fingerprint_too() -> None:
    codes = np.array([[1e100, 1.0], [2.0, 3.0]])
    optimize(codes, normalize=False).check(codes)


@pytest.mark.parametrize("n_dims", [0.3, 7, "auto", np.int32(2), np.float64(0.25)])
@pytest.mark.parametrize("ratio", ["1:0", "1:1"])
def test_a_saved_selection_comes_back_whole(tmp_path: Path, n_dims: int | float | str, ratio: str) -> None:
    selection = optimize(codebook(), n_dims, ratio=ratio)
    path = selection.save(tmp_path / "new" / "toc")
    assert path == tmp_path / "new" / "toc" / "toc.json"
    for where in (path, path.parent):
        assert TOCSelection.load(where).to_json() == selection.to_json()
    assert [p.name for p in path.parent.iterdir()] == ["toc.json"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = optimize(codebook(), 0.3).save(tmp_path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CodebookError, match="No space left"):
        optimize(codebook(), 0.5).save(tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["toc.json"]


def test_a_selection_is_bound_to_its_codebook() -> None:
    codes = codebook()
    selection = optimize(codes)
    selection.check(codes)
    selection.check(codes.astype(np.float64))
    changed = codes.copy()
    changed[3, 3] += 1e-3
    with pytest.raises(CodebookError, match="another codebook"):
        selection.check(changed)
    with pytest.raises(CodebookError, match="shape"):
        selection.check(codes[:-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format_version=2), "format"),
        (lambda v: v.pop("indices"), "indices"),
        (lambda v: v.update(indices=[]), "indices"),
        (lambda v: v.update(indices=[0, 0]), "indices"),
        (lambda v: v.update(indices=[10]), "indices"),
        (lambda v: v.update(indices=[-1]), "indices"),
        (lambda v: v["scores"].update(variance=[1.0]), "scores"),
        (lambda v: v.update(scores=3), "TOC selection"),
        (lambda v: v.update(lam="much"), "TOC selection"),
        (lambda v: v.update(divisor="H"), "divisor"),
        (lambda v: v.update(indices=[0.5, 1]), "float"),
        (lambda v: v.update(lam=1.5), "lam"),
        (lambda v: v["scores"]["score"].__setitem__(0, float("nan")), "finite"),
        (lambda v: v.update(scores={name: [v["scores"][name]] for name in v["scores"]}), "scores"),
        (lambda v: v.pop("asked"), "asked"),
        (lambda v: v.update(asked=3), "2 indices, but 3 were asked for"),
        (lambda v: v.update(asked="most"), "n_dims is 'most'"),
        (lambda v: v.update(asked=True), "n_dims is True"),
        (lambda v: v.update(ratio="3:1"), "at 3:1"),
        (lambda v: v.update(ratio="3"), "ratio"),
        (lambda v: v.update(asked="auto", indices=[1, 2, 3], ratio="1:1"), "at 1:1"),
    ],
)
def test_a_damaged_record_is_refused_in_one_line(tmp_path: Path, change: object, message: str) -> None:
    path = optimize(codebook(), 2).save(tmp_path)
    values = json.loads(path.read_text())
    change(values)  # type: ignore[operator]
    path.write_text(json.dumps(values))
    with pytest.raises(CodebookError, match=message) as error:
        TOCSelection.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "toc.json").write_text(text)
    with pytest.raises(CodebookError, match=r"toc\.json"):
        TOCSelection.load(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CodebookError, match="No such file"):
        TOCSelection.load(tmp_path)
