from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import benchmarks.experiments.speed.step
from benchmarks.experiments.speed.step import ROWS, step
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


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dcid.yaml").write_text(SMALL)
    monkeypatch.setattr(benchmarks.experiments.speed.step, "CONFIGS", tmp_path)


@pytest.mark.slow
def test_the_table_has_a_row_for_each_regularizer_beside_the_bare_method() -> None:
    rows = [row for row in ROWS if row.startswith("dcid")]
    result = CliRunner().invoke(app_of(step), ["--clips", "2", "--rounds", "1", "--rows", ",".join(rows)])
    assert result.exit_code == 0, result.output
    lines = [line.strip("| ").split(" | ") for line in result.stdout.splitlines()[3:]]
    assert [line[0] for line in lines] == rows
    assert {"dcid + gram", "dcid + slot_alignment", "dcid + structure"} == set(rows[1:])
    assert lines[0][3] == "1.00"
    assert "times dcid" in result.stdout


def test_a_regularizer_that_does_not_exist_is_named() -> None:
    result = CliRunner().invoke(app_of(step), ["--clips", "2", "--rows", "dcid + gramm"])
    assert isinstance(result.exception, InputError)
    assert "gramm" in str(result.exception)
