from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toc import CodebookError, draw_selection, optimize
from toc.figure import mean_similarity


def test_mean_similarity_is_the_mean_over_pairs_of_different_codes() -> None:
    codes = np.random.default_rng(0).normal(size=(9, 5))
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(9) for j in range(9) if i != j]
    assert mean_similarity(codes) == pytest.approx(np.mean(pairs), abs=1e-12)


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
    assert len(scores.containers[1]) == 5
    assert [line.get_label() for line in curve.lines[:2]] == ["random, median", "best by TOC"]


def test_a_figure_is_not_drawn_for_another_codebook() -> None:
    codes = np.random.default_rng(0).normal(size=(30, 12))
    with pytest.raises(CodebookError, match="another codebook"):
        draw_selection(codes + 1, optimize(codes))
