from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import benchmarks.experiments.speed.toc
from benchmarks.experiments.speed.toc import by_matrices, by_the_loop, measure
from toc import VARIANTS, toc_scores
from unicode_cmg.console import app_of


def test_what_is_compared_computes_the_same() -> None:
    codes = np.random.default_rng(0).normal(0.3, 1, (20, 6))
    ours = toc_scores(codes, **VARIANTS["released"]).similarity
    np.testing.assert_allclose(by_matrices(codes), ours, atol=1e-12)
    np.testing.assert_allclose(by_the_loop(codes, 20), ours, atol=1e-6)


@pytest.mark.slow
def test_the_table_has_every_form_and_says_what_is_extrapolated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.experiments.speed.toc, "_LOOP_PAIRS", 10_000)
    result = CliRunner().invoke(app_of(measure), ["--rounds", "1", "--sizes", "30x4,5000x4"])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if line.startswith(("| 30", "| 5000"))]
    assert [row.split(" | ")[1] for row in rows] == [
        "toc_scores",
        "toc_scores, codes of unit length",
        "loop over pairs",
        "H x H matrices",
        "toc_scores",
        "toc_scores, codes of unit length",
        "loop over pairs, extrapolated from 2 of 5000 rows",
    ]
    assert "| toc |" in result.stdout
