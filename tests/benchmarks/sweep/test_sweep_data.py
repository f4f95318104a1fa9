"""Rows of a sweep with data of their own, and what a sweep tells of codes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT
from tiny_ave import tiny_model

from benchmarks import evaluate
from benchmarks.sweep import Outcome, load_sweep, run_sweep
from benchmarks.sweep.code_figures import figures_of, in_columns, measure_codes
from benchmarks.sweep.tables import figure_table, outcome_csv, outcome_table, save_outcomes
from unicode_cmg.checkpoints import load_pretrained
from unicode_cmg.data import LabelledClips
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import describe_codes
from unicode_cmg.results import HeadConfig


@pytest.fixture
def sweep(method: dict[str, Any], data: Path, tmp_path: Path) -> dict[str, Any]:
    """A sweep of one small model on two folders of data, the second of them a link to the first."""
    (tmp_path / "there").symlink_to(data)
    config = {
        "method": {"name": "dcid", **method},
        "data": {"store": "unused"},
        "critics": {"steps": 1},
        "training": {"epochs": 1, "batch_size": 20},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    return {
        "config": "tiny.yaml",
        "seeds": [0],
        "head_seeds": [0],
        "head": {"epochs": 1},
        "directions": None,
        "axes": [{"here": {"data": {"folder": "there"}}, "given": {}}],
    }


def load(sweep: dict[str, Any], folder: Path) -> Any:
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    return load_sweep(folder / "sweep.yaml")


@pytest.mark.slow
def test_a_row_with_data_of_its_own_needs_no_other_and_all_directions_are_those_of_the_task(
    sweep: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    plan, rows = load(sweep, tmp_path)
    (own,) = run_sweep(plan, rows[:1], to=tmp_path / "out")
    assert set(own.scores["ave"]) == {(a, b) for a in ("audio", "video") for b in ("audio", "video")}
    with pytest.raises(InputError, match="no data"):
        run_sweep(plan, rows[1:], to=tmp_path / "out")
    (given,) = run_sweep(plan, rows[1:], to=tmp_path / "out", data=data)
    assert given.scores == own.scores
    assert given.figures == own.figures
    assert {"same code, audio-video", "background names class, video", "dead codes"} <= set(own.figures)
    save_outcomes(tmp_path / "out", [own, given], plan, rows)
    assert "background names class" in (tmp_path / "out/codes.md").read_text()
    before = next((tmp_path / "out").glob("here*/seed-0/result-test.json")).stat().st_mtime_ns
    assert run_sweep(plan, rows[:1], to=tmp_path / "out") == [own]
    assert next((tmp_path / "out").glob("here*/seed-0/result-test.json")).stat().st_mtime_ns == before


@pytest.mark.slow
def test_heads_without_codes_reach_in_a_sweep_what_they_reach_in_an_evaluation(
    sweep: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    plan, rows = load(sweep | {"continuous": True}, tmp_path)
    (own,) = run_sweep(plan, rows[:1], to=tmp_path / "out")
    model = load_pretrained(next((tmp_path / "out").glob("here*/seed-0/model")).parent)
    result = evaluate(model, "ave", data, head=HeadConfig(epochs=1), seeds=[0])
    expected = {}
    for row in result.directions:
        where = f"ave{' within' * (row.source == row.target)}, {row.source}-{row.target}"
        expected[f"continuous {where}"] = row.continuous.mean
        if row.raw is not None:
            expected[f"raw {where}"] = row.raw.mean
    assert len(expected) == 4 + 2
    assert {name: own.figures[name] for name in expected} == pytest.approx(expected)
    assert own.scores["ave"] == pytest.approx({(r.source, r.target): r.mean for r in result.directions})
    save_outcomes(tmp_path / "out", [own], plan, rows)
    header = (tmp_path / "out/codes.md").read_text().splitlines()[0]
    assert {"continuous ave", "continuous ave within", "raw ave within"} <= {
        cell.strip() for cell in header.split("|")
    }
    with pytest.raises(InputError, match="other settings"):
        run_sweep(plan.model_copy(update={"continuous": False}), rows[:1], to=tmp_path / "out")


@pytest.mark.slow
def test_numbers_under_a_protocol_with_leaks_are_their_own_and_say_so(
    sweep: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    plan, rows = load(sweep, tmp_path)
    clean = run_sweep(plan, rows[:1], to=tmp_path / "out")
    plan, rows = load(sweep | {"protocol": "paper-f1"}, tmp_path)  # of AVE, "paper"
    leaky = run_sweep(plan, rows[:1], to=tmp_path / "out")
    folder = next((tmp_path / "out").glob("here*/seed-0"))
    assert {f.name for f in folder.glob("result-*")} == {"result-test.json", "result-test-paper-f1.json"}
    assert leaky[0].scores != clean[0].scores
    save_outcomes(tmp_path / "out", leaky, plan, rows)
    assert "protocol paper-f1: these numbers have the leaks" in (tmp_path / "out/table.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "papers"}, "task ave: unknown protocol 'papers'; .*did you mean 'paper'"),
        ({"protocol": "paper", "report": "val"}, "only the protocol held-out has validation clips"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused_before_anything_runs(
    sweep: dict[str, Any], tmp_path: Path, change: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(sweep | change, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digits": "hard", "folder": "there"}, "expected either 'digits' or 'folder'"),
        ({}, "expected either 'digits' or 'folder'"),
        ({"digits": "easy"}, "digits"),
    ],
)
def test_data_of_a_row_are_in_one_place(
    sweep: dict[str, Any], tmp_path: Path, change: dict[str, str], message: str
) -> None:
    sweep["axes"][0]["here"]["data"] = change
    with pytest.raises(InputError, match=message):
        load(sweep, tmp_path)


def test_two_axes_with_data_are_refused(sweep: dict[str, Any], tmp_path: Path) -> None:
    sweep["axes"].append({"again": {"data": {"digits": "hard"}}})
    with pytest.raises(InputError, match="two axes give a 'data'"):
        load(sweep, tmp_path)


def test_a_folder_and_a_recipe_exclude_each_other(sweep: dict[str, Any], data: Path, tmp_path: Path) -> None:
    plan, rows = load(sweep, tmp_path)
    with pytest.raises(InputError, match="both a folder of data and a recipe"):
        run_sweep(plan, rows, to=tmp_path / "out", data=data, recipe="hard")


def test_the_sweep_of_methods_has_easy_and_hard_rows_and_every_direction() -> None:
    plan, rows = load_sweep(ROOT / "configs/digits/sweeps/methods.yaml")
    assert [row.name for row in rows] == [
        f"{method}, {data}"
        for method in ("DCID", "FCID", "H-DCID")
        for data in ("easy", "easy, 30 epochs", "hard")
    ]
    assert [row.data.digits for row in rows] == ["default", "default", "hard"] * 3
    assert plan.directions is None


@pytest.mark.slow
def test_figures_are_those_of_the_description_of_the_codes(data: Path) -> None:
    found = measure_codes(tiny_model(), data, "test", "layer0")
    codes = describe_codes(tiny_model(), LabelledClips.open(data), modalities=["video", "audio"])
    assert found["same code, video-audio"] == 100 * codes.labels.agreement[0].steps
    reading = codes.labels.readings["audio"]
    assert found["background names class, audio"] == 100 * reading.background
    assert (
        found["event names class, audio"] == 100 * reading.events > 95
    )  # codes of the tiny model are classes
    assert found["dead codes"] == 100 * codes.kinds["unused"] / codes.num_codes
    assert figures_of(codes) == found
    assert measure_codes(tiny_model(), data / "nothing", "test", "layer0") == {}


def test_columns_are_means_but_for_the_pairs_with_the_same_code() -> None:
    figures = {
        **{"same code, audio-video": 70.0, "same code, audio-text": 10.0, "dead codes": 5.0},
        **{"specific tells code, video fine": 20.0, "specific tells code, video coarse": 40.0},
    }
    assert in_columns(figures) == {
        **{"same code A-V": 70, "same code A-T": 10, "dead codes": 5, "specific tells code": 30},
    }
    runs = [Outcome("a", seed, None, {"ave": {}}, figures) for seed in (0, 1)]
    other = Outcome("b", 0, None, {"ave": {}}, {"dead codes": 1.0})
    lines = figure_table([*runs, other]).splitlines()
    assert lines[0] == "|  | same code A-V | same code A-T | dead codes | specific tells code |"
    assert lines[2:] == [
        "| a | 70.0 ± 0.0 | 10.0 ± 0.0 | 5.0 ± 0.0 | 30.0 ± 0.0 |",
        "| b | - | - | 1.0 | - |",
    ]
    rows = list(csv.reader(outcome_csv(runs).splitlines()))
    assert rows[1] == ["a", "0", "same code", "audio", "video", "70.0"]
    assert figure_table([Outcome("a", 0, None, {"ave": {}})]) == ""


def test_rows_of_other_tasks_have_a_table_of_their_own_and_wide_ones_one_for_each_task() -> None:
    few = {"ave": {("video", "audio"): 1.0}}
    names = ("audio", "video", "text")
    every = {(a, b): 2.0 for a in names for b in names}
    many = {"ave": every, "avvp": every}
    table = outcome_table([Outcome("a", 0, 1.0, few), Outcome("b", 0, 1.0, many), Outcome("c", 0, 1.0, few)])
    headers = [line for line in table.splitlines() if " seeds " in line]
    assert [header.split("|")[1].strip() for header in headers] == ["", "ave", "avvp"]
    assert table.splitlines()[2:4] == ["| a | 1 | 1.0 | 1 |", "| c | 1 | 1.0 | 1 |"]
