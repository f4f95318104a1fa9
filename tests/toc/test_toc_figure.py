from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toc import VARIANTS, CodebookError, draw_selection, optimize
from toc.figure import mean_similarity


def test_mean_similarity_is_the_mean_over_pairs_of_different_codes() -> None:
    codes = np.random.default_rng(0).normal(size=(9, 5))
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(9) for j in range(9) if i != j]
    assert mean_similarity(codes) == pytest.approx(np.mean(pairs), abs=1e-12)


@pytest.mark.slow
def test_the_figure_is_saved_and_says_what_it_shows(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).normal(0.5, 1, size=(30, 12))
    codes[7] = 0
    selection = optimize(codes, 5, normalize=False, layer="layer1")
    figure = draw_selection(codes, selection, tmp_path / "toc.png")
    assert (tmp_path / "toc.png").read_bytes().startswith(b"\x89PNG")
    assert "5 of 12 dimensions of layer1" in figure.get_suptitle()
    assert "29 of 30 codes" in figure.get_suptitle()
    before, after, _, scores, curve = figure.axes
    assert before.images[0].get_clim() == after.images[0].get_clim()
    kept, dropped = (patch.get_data().values for patch in scores.patches)
    assert np.count_nonzero(kept) == 5
    assert np.count_nonzero(dropped) == 7
    assert [line.get_label() for line in curve.lines[:2]] == ["random, median", "best by TOC"]


def test_the_curve_is_the_mean_similarity_of_the_best_dimensions() -> None:
    codes = np.random.default_rng(0).normal(0.5, 1, size=(30, 12))
    codes[:, :3] = 0
    codes[4, 3:6] = 0
    selection = optimize(codes, 5, normalize=False)
    sizes, values = draw_selection(codes, selection).axes[4].lines[1].get_data()
    ranked = np.argsort(-selection.scores.score, kind="stable")
    for size, value in zip(sizes, values, strict=True):
        assert value == pytest.approx(mean_similarity(codes[:, ranked[:size]]), abs=1e-12)


@pytest.mark.parametrize("asked", ["auto", 5])
def test_both_lower_panels_mark_what_auto_would_keep(asked: int | str) -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 12))
    codes[:, [2, 7]] += 5
    for axes in draw_selection(codes, optimize(codes, asked, center=False)).axes[3:]:
        (mark,) = (line for line in axes.lines if line.get_label() == "auto (10)")
        assert mark.get_xdata() == [10, 10]


def test_the_worst_dimensions_are_coloured_where_they_rank() -> None:
    codes = np.random.default_rng(0).normal(size=(30, 12))
    figure = draw_selection(codes, optimize(codes, 8, **VARIANTS["released-3:1"]))
    kept = figure.axes[3].patches[0].get_data().values
    assert np.flatnonzero(kept).tolist() == [0, 1, 2, 3, 4, 5, 10, 11]
    assert "released-3:1" in figure.get_suptitle()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 1), (2, 6), (50, 1), (3, 50)])
def test_the_smallest_codebooks_are_drawn(shape: tuple[int, int], tmp_path: Path) -> None:
    codes = np.random.default_rng(0).normal(size=shape)
    draw_selection(codes, optimize(codes, "auto"), tmp_path / "toc.png")
    assert (tmp_path / "toc.png").exists()


@pytest.mark.slow
def test_of_a_huge_codebook_four_hundred_codes_are_drawn() -> None:
    codes = np.random.default_rng(0).normal(size=(65_536, 4)).astype(np.float32)
    figure = draw_selection(codes, optimize(codes))
    assert figure.axes[0].images[0].get_array().shape == (400, 400)  # type: ignore[union-attr]
    assert "400 of 65536 codes" in figure.get_suptitle()


def test_without_two_codes_that_point_anywhere_nothing_is_drawn() -> None:
    codes = np.zeros((5, 3))
    codes[2] = 1
    with pytest.raises(CodebookError, match="fewer than two codes"):
        draw_selection(codes, optimize(codes, normalize=False))


def test_a_figure_is_not_drawn_for_another_codebook() -> None:
    codes = np.random.default_rng(0).normal(size=(30, 12))
    with pytest.raises(CodebookError, match="another codebook"):
        draw_selection(codes + 1, optimize(codes))
