"""What refining a checkpoint leaves in a folder."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from toc import VARIANTS, CodebookError, TOCSelection, optimize
from toc.codebooks import find_codebooks, load_codebook
from toc.outputs import refine, write_outputs

CODES = np.random.default_rng(0).normal(0.5, 1, size=(12, 6)).astype(np.float32)


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Two codebooks, whose names cannot all be folders."""
    np.savez(tmp_path / "books.npz", **{"top": CODES, "deep/er": CODES[:, ::-1]})
    return tmp_path / "books.npz"


def similarity(codes: np.ndarray) -> float:
    """Mean cosine over pairs, one pair at a time."""
    pairs = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in combinations(codes.astype(np.float64), 2)]
    return float(np.mean(pairs))


@pytest.mark.slow
def test_the_columns_of_the_refined_codebook_are_the_kept_dimensions_best_first(
    tmp_path: Path, books: Path
) -> None:
    (refined,) = refine(find_codebooks(books), tmp_path / "out", "top", n_dims=4)
    assert refined.file == tmp_path / "out" / "toc.json"
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"toc.json", "codebook.npy", "toc.png"}
    selection = TOCSelection.load(tmp_path / "out")
    selection.check(CODES)
    np.testing.assert_array_equal(
        np.load(tmp_path / "out" / "codebook.npy"), CODES[:, list(selection.indices)]
    )
    assert np.diff(selection.scores.score[list(selection.indices)]).max() <= 0
    assert refined.before == pytest.approx(similarity(CODES), abs=1e-12)
    seen = (CODES.astype(float) - CODES.astype(float).mean(axis=0))[:, list(selection.indices)]
    assert refined.after == pytest.approx(similarity(seen), abs=1e-12)
    assert refined.summary().startswith(
        f"top: 4 of 6 dimensions kept; offset share {selection.scores.offset_share:.2f}, mean subtracted;"
        f" mean cosine similarity of codes {refined.before:.3f} before"
    )
    assert refined.to_json()["mean_similarity"] == {"before": refined.before, "after": refined.after}


@pytest.mark.slow
def test_all_codebooks_go_to_folders_of_their_names(tmp_path: Path, books: Path) -> None:
    refined = refine(find_codebooks(books), tmp_path / "out", "all", n_dims=0.5)
    assert [each.file.parent.name for each in refined] == ["top", "deep_er"]
    for each in refined:
        selection = TOCSelection.load(each.file)
        selection.check(load_codebook(books, selection.layer).vectors)
        assert len(selection.indices) == 3


def test_names_that_give_one_folder_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "books.npz", **{"a/b": CODES, "a:b": CODES})
    with pytest.raises(CodebookError, match="two codebooks would go to one folder"):
        refine(find_codebooks(tmp_path / "books.npz"), tmp_path / "out", "all")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_unless_all_codebooks_can_be_refined(tmp_path: Path) -> None:
    spoilt = CODES.copy()
    spoilt[3, 2] = np.nan
    np.savez(tmp_path / "books.npz", good=CODES, spoilt=spoilt)
    with pytest.raises(CodebookError, match=r"books\.npz \(spoilt\): code 3 .*NaN"):
        refine(find_codebooks(tmp_path / "books.npz"), tmp_path / "out", "all")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_variant_sets_the_options_and_leaves_lam_free_or_not(tmp_path: Path, books: Path) -> None:
    found = find_codebooks(books)
    (refined,) = refine(found, tmp_path / "out", "top", n_dims=4, lam=0.7, variant="released-3:1")
    expected = optimize(CODES, 4, 0.7, **VARIANTS["released-3:1"], layer="top")
    assert TOCSelection.load(refined.file).to_json() == expected.to_json()
    assert refined.selection.variant == "released-3:1"
    with pytest.raises(CodebookError, match="'released-similarity' has lam = 0; leave lam out"):
        refine(found, tmp_path / "out", "top", lam=0.3, variant="released-similarity")
    with pytest.raises(
        CodebookError, match="unknown variant 'mine'; expected one of corrected, paper, released"
    ):
        refine(found, tmp_path / "out", "top", variant="mine")


@pytest.mark.parametrize("used", [0, 1])
def test_a_codebook_that_was_never_trained_is_refused(tmp_path: Path, used: int) -> None:
    np.save(tmp_path / "fresh.npy", np.eye(5)[:, :4] * (np.arange(5) < used)[:, None])
    with pytest.raises(CodebookError, match=r"fresh\.npy \(fresh\): all codes but at most one are zero"):
        refine(find_codebooks(tmp_path / "fresh.npy"), tmp_path / "out", variant="released")


@pytest.mark.slow
def test_a_selection_of_another_codebook_replaces_nothing(tmp_path: Path, books: Path) -> None:
    codebook, other = (load_codebook(books, name) for name in ("top", "deep/er"))
    selection = optimize(codebook.vectors, 3, layer="top")
    write_outputs(tmp_path / "out", codebook, selection)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    with pytest.raises(CodebookError, match="another codebook"):
        write_outputs(tmp_path / "out", other, selection)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert json.loads(before["toc.json"])["kept"] == 3


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, books: Path) -> None:
    (tmp_path / "file").write_text("words")
    with pytest.raises(CodebookError, match=r"file/out: cannot be written \(Not a directory\)"):
        refine(find_codebooks(books), tmp_path / "file" / "out", "top")
