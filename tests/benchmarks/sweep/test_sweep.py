"""A sweep file becomes rows, runs and a table; what is there already is not run again."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.sweep import Outcome, load_sweep, run_sweep
from benchmarks.sweep.tables import outcome_csv, outcome_frame, outcome_table
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json

SWEEP = """\
config: tiny.yaml
set: [optimizer.lr=2e-3, data.limit=10]
tasks: [ave]
directions: [video->audio, audio->audio]
seeds: [0, 1]
head: {epochs: 1}
axes:
  - plain: {at: 8}
    narrow: {at: 4, set: [method.dim=4]}
  - one: {}
    residual:
      set: [method.codebook.quantizer=rvq, method.codebook.codebooks=2]
      read: {first: [layer0.0], all: []}
plot: {x: width, chance: {ave: 10}}
"""


@pytest.fixture
def folder(method: dict[str, Any], tmp_path: Path) -> Path:
    config = {
        "method": {"name": "dcid", **method},
        "data": {"store": "unused"},
        "critics": {"steps": 1},
        "training": {"epochs": 1, "batch_size": 20},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path


def test_rows_are_all_combinations_and_later_axes_have_the_last_word(folder: Path) -> None:
    _, rows = load_sweep(folder / "sweep.yaml")
    assert [row.name for row in rows] == ["plain, one", "plain, residual", "narrow, one", "narrow, residual"]
    config = rows[3].pretraining()
    settings = config.method.settings.model_dump()
    assert (settings["dim"], settings["codebook"]["codebooks"]) == (4, 2)
    assert config.optimizer.lr == 2e-3
    assert rows[0].pretraining().method.settings.model_dump()["codebook"]["quantizer"] == "mm_ema"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("set: [method.dim=4]", "set: [method.dmi=4]"), "narrow, one: method 'dcid': unknown key 'dmi'"),
        (("seeds:", "sedes:"), "did you mean 'seeds'"),
        (("config: tiny.yaml", "config: gone.yaml"), "gone.yaml"),
        (("at: 4, set: [method.dim=4]", "at: 4, read: {x: [layer0]}"), "two axes give"),
    ],
)
def test_a_mistake_in_any_row_is_found_before_anything_runs(
    folder: Path, change: tuple[str, str], message: str
) -> None:
    (folder / "sweep.yaml").write_text(SWEEP.replace(*change))
    with pytest.raises(InputError, match=message):
        load_sweep(folder / "sweep.yaml")


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    """Exit code of `python -m benchmarks.sweep ARGUMENTS`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
    monkeypatch.delitem(sys.modules, "benchmarks.sweep.__main__", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("benchmarks.sweep", run_name="__main__")
    return ended.value.code


def test_code_that_a_row_names_is_run_only_with_trust_code(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = "{name: slot_alignment, teachers: {audio: {module: 'no_such_package:Teacher'}}}"
    sweep = {"config": "tiny.yaml", "set": [f"regularizers=[{entry}]", "data.limit=10"], "seeds": [0]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**sweep, "axes": [{"taught": {}}]}))
    arguments = [folder / "sweep.yaml", "--data", data, "--to", folder / "out", "--workers", 1]
    assert command(monkeypatch, *arguments) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert command(monkeypatch, *arguments, "--trust-code") == 2
    assert "'no_such_package:Teacher' cannot be imported" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_runs_every_row_once_in_two_processes_and_resumes(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [folder / "sweep.yaml", "--data", data, "--to", folder / "out"]
    assert command(monkeypatch, *arguments, "--seeds", "0") == 0
    printed = capsys.readouterr().out
    results = sorted((folder / "out").glob("*/seed-0/result-test.json"))
    assert len(results) == 4
    before = {file: file.stat().st_mtime_ns for file in results}

    assert command(monkeypatch, *arguments, "--workers", "1") == 0
    assert {file: file.stat().st_mtime_ns for file in results} == before
    assert len(list((folder / "out").glob("*/seed-1/result-test.json"))) == 4

    table = (folder / "out" / "table.md").read_text().splitlines()
    assert table[0].startswith("|  | seeds | V->A | A->A | same code | seconds |")
    assert [line.split(" | ")[0].strip("| ") for line in table[2:]] == [
        *("plain, one", "plain, residual, first", "plain, residual, all"),
        *("narrow, one", "narrow, residual, first", "narrow, residual, all"),
    ]
    assert "plain, residual, first, seed 0" in printed
    kept = read_json(results[0])
    with (folder / "out" / "table.csv").open() as file:
        values = {(r["row"], r["seed"], r["measure"], r["source"]): r["value"] for r in csv.DictReader(file)}
    assert json.dumps(kept["seconds"]) in values.values()
    assert 0 <= float(values["narrow, residual, all", "1", "ave", "video"]) <= 100

    curves = (folder / "out" / "curves.md").read_text().splitlines()
    assert curves[0] == "ave, mean of the transfers, by width"
    assert curves[1] == "|  | narrow | plain |"
    assert [line.split(" | ")[0].strip("| ") for line in curves[3:]] == [
        *("one", "residual, first", "residual, all")
    ]
    assert (folder / "out" / "curves-ave.png").read_bytes()[:4] == b"\x89PNG"


def test_a_folder_with_a_run_of_other_settings_is_refused(folder: Path, data: Path) -> None:
    plan, rows = load_sweep(folder / "sweep.yaml")
    (outcome,) = run_sweep(plan, rows[:1], seeds=[0], data=data, to=folder / "out")
    assert outcome.seconds is not None
    assert outcome.seconds > 0
    (folder / "sweep.yaml").write_text(SWEEP.replace("lr=2e-3", "lr=1e-3"))
    plan, rows = load_sweep(folder / "sweep.yaml")
    with pytest.raises(InputError, match="other settings"):
        run_sweep(plan, rows[:1], seeds=[0], data=data, to=folder / "out")


def test_a_result_is_known_again_after_a_setting_was_added(folder: Path) -> None:
    row = load_sweep(folder / "sweep.yaml")[1][0]
    now = row.identity(0, folder)
    before = {key: value for key, value in now.items() if key not in ("regularizers", "data")}
    assert row.completed({**before, "data": {"limit": 10}, "head": None}) == {**now, "head": None}
    assert row.completed(before) != now  # trained on all clips
    other = {**now, "method": {**now["method"], "gone": 1}}
    assert row.completed(other) == other


def test_another_share_of_the_clips_is_another_run_and_another_place_is_not(folder: Path) -> None:
    (folder / "sweep.yaml").write_text(SWEEP.replace("set: [", "set: [data.fraction=0.5, ", 1))
    half = load_sweep(folder / "sweep.yaml")[1][0]
    (folder / "sweep.yaml").write_text(SWEEP)
    whole = load_sweep(folder / "sweep.yaml")[1][0]
    assert half.identity(0, folder) != whole.identity(0, folder) == whole.identity(0, folder / "elsewhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data: no data; expected the folder of the data sets"),
        (["--seeds", "0,,1"], "--seeds: cannot read '0,,1'; expected different whole numbers such as 0,1,2"),
        (["--seeds", "1,1"], "--seeds: cannot read '1,1'; expected different whole numbers such as 0,1,2"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_two(
    folder: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, folder / "sweep.yaml", "--to", folder / "out", *arguments) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_the_table_gives_mean_and_sample_deviation_over_pretraining_seeds() -> None:
    direction = ("video", "audio")
    outcomes = [
        Outcome("a", 0, 10.0, {"ave": {direction: 50.0}}, {"same code, audio-video": 20.0}),
        Outcome("a", 1, 30.0, {"ave": {direction: 54.0}}),
        Outcome("b", 0, 5.0, {"ave": {direction: 1.0}}),
    ]
    lines = outcome_table(outcomes).splitlines()
    assert lines[2] == "| a | 2 | 52.0 ± 2.8 | 20.0 | 20 |"
    assert lines[3] == "| b | 1 | 1.0 | not measured | 5 |"
    frame = outcome_frame(outcomes)
    assert list(frame.columns) == outcome_csv(outcomes).splitlines()[0].split(",")
    assert frame[frame.measure == "ave"].groupby("row")["value"].mean().to_dict() == {"a": 52.0, "b": 1.0}
    assert outcome_csv(outcomes).splitlines()[1:3] == [
        "a,0,ave,video,audio,50.0",
        "a,0,same code,audio,video,20.0",
    ]
