"""The command that measures speed: what it compares computes the same, and a fall is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import benchmarks.experiments.speed.__main__ as command
from benchmarks.experiments.speed import codebooks, data, dimensions, evaluation, training
from benchmarks.experiments.speed.dimensions import by_matrices, by_the_loop
from benchmarks.experiments.speed.measuring import Row, compared, fallen
from benchmarks.experiments.speed.training import OURS, random_batch, trained
from benchmarks.experiments.speed.transcription import Codebook, PlainStep
from toc import VARIANTS, toc_scores
from unicode_cmg.console import app_of
from unicode_cmg.errors import InputError

SMALL = """\
method:
  {name: dcid, dim: 8, num_codes: 12, heads: 2, transformer_layers: 1, feedforward: 16, pooling_dim: 4,
   critic_hidden: 8,
   modalities: {audio: {dim: 128, specific_dim: 8}, video: {dim: 512, grid: [7, 7], specific_dim: 8},
                text: {dim: 768, specific_dim: 8}}}
data: {store: unused}
critics: {steps: 1}
"""


def test_the_forms_of_toc_that_are_compared_compute_the_same() -> None:
    codes = np.random.default_rng(0).normal(0.3, 1, (20, 6))
    ours = toc_scores(codes, **VARIANTS["released"]).similarity
    np.testing.assert_allclose(by_matrices(codes), ours, atol=1e-12)
    np.testing.assert_allclose(by_the_loop(codes, 20), ours, atol=1e-6)


def test_codes_of_the_transcription_are_the_nearest_and_follow_their_features() -> None:
    torch.manual_seed(0)
    book, z = Codebook().train(), {m: torch.randn(2, 3, 256) for m in ("a", "b")}
    nearest = torch.cdist(z["a"].flatten(0, 1), book.codes).argmin(1)
    before = book.codes.clone()
    out, _ = book(z)
    torch.testing.assert_close(out["a"].flatten(0, 1), before[nearest])
    assert not torch.equal(book.codes, before)


@pytest.mark.slow
def test_a_transcribed_step_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"audio": 256, "video": 32, "text": 256}
    monkeypatch.setattr("benchmarks.experiments.speed.transcription.SPECIFIC", sizes)
    for method in ("dcid", "hdcid", "fcid"):
        torch.manual_seed(0)
        plain = PlainStep(method, random_batch(2).features)
        before = [p.clone() for p in plain.parameters()]
        losses = [plain.step() for _ in range(2)]
        assert np.isfinite(losses).all()
        moved = [not torch.equal(a, b) for a, b in zip(before, plain.parameters(), strict=True)]
        assert np.mean(moved) > 0.9, method


def test_a_ratio_far_below_the_recorded_one_is_found_by_its_best_round() -> None:
    rows = [Row("a", "b", (0.5, 0.71), guarded=True), Row("c", "b", (0.1,), guarded=False)]
    assert fallen(rows, {"a | b": 1.0, "c | b": 1.0}) == []
    assert fallen(rows, {"a | b": 1.1}) == ["a | b: 0.71, recorded 1.1"]


def test_what_takes_twice_as_long_is_half_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("benchmarks.experiments.speed.measuring.now", lambda: clock[0])

    def work(seconds: float) -> None:
        clock[0] += seconds

    (row,) = compared("slow", lambda: work(0.5), {"quick": lambda: work(0.25)}, 3)
    assert row.values == (0.5, 0.5, 0.5)
    assert row.seconds == 0.5


@pytest.fixture
def toc_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(dimensions, "LOOP_PAIRS", 900)
    monkeypatch.setitem(command.QUICK, "toc", lambda rounds, _: dimensions.toc_rows(rounds, ((30, 4),)))
    monkeypatch.setattr(command, "RECORDED", tmp_path / "recorded.json")
    return tmp_path / "recorded.json"


def test_the_command_prints_a_table_records_it_and_notices_a_fall(toc_alone: Path) -> None:
    arguments = ["--quick", "--rows", "toc", "--rounds", "1"]
    result = CliRunner().invoke(app_of(command.speed), [*arguments, "--record"])
    assert result.exit_code == 0, result.output
    assert "| TOC scores, 30 x 4 | loop over pairs |" in result.stdout
    recorded = json.loads(toc_alone.read_text())
    assert list(recorded) == ["TOC scores, 30 x 4 | loop over pairs"]
    for factor, failed in ((0.01, False), (1000.0, True)):
        toc_alone.write_text(json.dumps({name: factor * value for name, value in recorded.items()}))
        result = CliRunner().invoke(app_of(command.speed), [*arguments, "--check"])
        assert isinstance(result.exception, InputError) == failed, result.output


def test_an_unknown_group_of_rows_is_refused() -> None:
    result = CliRunner().invoke(app_of(command.speed), ["--rows", "stpe"])
    assert isinstance(result.exception, InputError)
    assert "step" in str(result.exception)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dcid.yaml").write_text(SMALL)
    monkeypatch.setattr(training, "CONFIGS", tmp_path)
    monkeypatch.setattr("benchmarks.experiments.speed.measuring._LEAST_SECONDS", 1e-9)
    for module, sizes in {
        codebooks: {"CLIPS": 3, "STEPS": 2, "CODES": 4, "DIM": 8, "LARGE": ((64, 8),)},
        evaluation: {"CLIPS": 8, "STEPS": 2, "CODES": 6, "DIM": 4, "CLASSES": 3, "BATCH": 4},
        data: {"STEP": (2, 3), "BATCH": 2},
    }.items():
        for name, size in sizes.items():
            monkeypatch.setattr(module, name, size)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_every_group_of_rows_is_measured() -> None:
    for rows, count in (
        (codebooks.quantizer_rows(1), 3),
        (codebooks.memory_rows(), 1),
        (evaluation.head_rows(1, epochs=1), 6),
        (evaluation.growth_rows(1), 4),
        (data.store_rows(1, clips=4), 4),
        (data.import_rows(1), 2),
        (training.growth_rows(1, clips=2), 4),
        (training.memory_rows(clips=2), 3),
    ):
        measured = list(rows)
        assert len(measured) == count, measured
        assert all(row.median > 0 or row.against == "MB" for row in measured), measured


def test_rows_that_need_a_gpu_say_so_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = [*training.gpu_rows(1, clips=2), *codebooks.gpu_rows(1)]
    assert {row.cells()[2] for row in rows} == {"not measured"}


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_every_regularizer_has_a_row() -> None:
    rows = list(training.regularizer_rows(1, clips=2))
    assert [row.name.split(",")[0] for row in rows] == [f"step of dcid + {name}" for name in OURS]
    assert all(row.median > 0 for row in rows)
    with pytest.raises(InputError, match="gramm"), trained("dcid + gramm", random_batch(2)):
        pass
