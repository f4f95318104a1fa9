"""A sweep refines the codebooks of its models, measures each refinement once, and says what it gains."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks.refinement import ALL, RefinedResult, Refiner, parse_refiners
from benchmarks.sweep import Outcome, load_sweep, run_sweep
from benchmarks.sweep.config import SweepConfig
from benchmarks.sweep.figures import draw_gains
from benchmarks.sweep.result_file import ResultFile
from benchmarks.sweep.rows import SavedRow
from benchmarks.sweep.summary import refined_rows
from benchmarks.sweep.tables import gain_tables, refinement_lines, save_outcomes
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json

SWEEP = """\
checkpoints:
  mine: {models: [one, two]}
directions: [video->audio, audio->audio]
head: {epochs: 1}
head_seeds: [0, 1]
refine:
  TOC: {refiner: toc, keep: [4, auto]}
choose:
  best: {among: [TOC, all dimensions]}
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


def run(models: Path, data: Path, out: Path, text: str = SWEEP) -> list[Outcome]:
    file = models / "sweep.yaml"
    file.write_text(text)
    return run_sweep(*load_sweep(file), data=data, to=out)


@pytest.fixture(scope="module")
def first(models: Path, data: Path, out: Path) -> list[Outcome]:
    return run(models, data, out)


@pytest.mark.slow
def test_models_that_are_there_are_refined_and_nothing_is_measured_twice(
    models: Path, data: Path, out: Path, first: list[Outcome]
) -> None:
    assert [(o.row, o.seed, o.seconds) for o in first] == [("mine", 0, None), ("mine", 1, None)]
    assert [(r.refinement, r.asked) for r in first[0].refined["ave"]][::2] == [
        *((ALL, None), ("TOC", 4), ("TOC", "auto"), ("best", None)),
    ]
    files = sorted(out.glob("*/seed-*/result-test.json"))
    assert not (files[0].parent / "model").exists()
    before = [read_json(file)["results"] for file in files]

    renamed = SWEEP.replace("TOC: {refiner: toc, keep: [4, auto]}", "fewer: {refiner: toc, keep: [2, 4]}")
    second = run(models, data, out, renamed.replace("among: [TOC", "among: [fewer"))
    assert [(r.refinement, r.asked) for r in second[0].refined["ave"]][:6:2] == [
        *((ALL, None), ("fewer", 2), ("fewer", 4))
    ]
    for file, known in zip(files, before, strict=True):
        now = read_json(file)["results"]
        assert now[: len(known)] == known
        assert {entry["row"]["asked"] for entry in now[len(known) :]} == {2}


def test_tables_and_figures_are_written_for_programs_and_people(tmp_path: Path, first: list[Outcome]) -> None:
    save_outcomes(tmp_path, first, SweepConfig.parse(yaml.safe_load(SWEEP), where="sweep.yaml"))
    tidy = pq.read_table(tmp_path / "refinements.parquet").to_pylist()
    with (tmp_path / "refinements.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(tidy) == len(lines) == 2 * 2 * 4  # runs, directions, refinements
    assert [float(line["mean"]) for line in lines] == pytest.approx([line["mean"] for line in tidy])
    assert {line["asked"] for line in tidy} == {None, "4", "auto"}
    assert {(line["row"], line["seed"], line["task"], line["n_dims"]) for line in tidy} == {
        *(("mine", 0, "ave", 8), ("mine", 1, "ave", 8))
    }
    assert "TOC, auto" in (tmp_path / "refinements.md").read_text()
    assert (tmp_path / "refinements-ave.png").read_bytes()[:4] == b"\x89PNG"


def test_a_model_is_known_by_its_weights(models: Path, tmp_path: Path) -> None:
    row = SavedRow("mine", {"": ()}, (models / "one", models / "two", models / "three"))
    one, two = (row.identity(run, tmp_path) for run in (0, 1))
    assert one == row.identity(0, tmp_path) != two
    kept = ResultFile(tmp_path / "result.json", one)
    kept.add("", "ave", [], {})
    with pytest.raises(InputError, match="other settings"):
        ResultFile(tmp_path / "result.json", two)
    with pytest.raises(InputError, match="three"):
        row.identity(2, tmp_path)


def test_a_code_layer_that_the_models_lack_is_named(models: Path, data: Path, tmp_path: Path) -> None:
    some = SWEEP.replace("two]}", "two], read: {first: [layer0, layer1]}}")
    with pytest.raises(InputError, match=r"sweep: read: unknown code layer 'layer1'; expected one of layer0"):
        run(models, data, tmp_path, some)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("checkpoints:\n  mine: {models: [one, two]}\n", ""), "expected 'axes' or 'checkpoints'"),
        (("checkpoints:\n  mine: {models: [one, two]}\n", "axes: [{a: {}}]\n"), "no 'config' to vary"),
        (("among: [TOC,", "among: [TAC,"), "among 'TAC'; expected some of all dimensions, TOC"),
        (("models: [one, two]", "models: []"), "at least 1 entries"),
        (("among: [TOC", "by: luck, among: [TOC"), "'choose.best.by' is 'luck'"),
    ],
)
def test_a_mistake_in_the_file_is_found_before_anything_runs(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace(*change))
    with pytest.raises(InputError, match=message):
        load_sweep(tmp_path / "sweep.yaml")


def refiners(**named: dict[str, Any]) -> dict[str, Refiner]:
    return parse_refiners(named)


def row(refinement: str = ALL, asked: Any = None, mean: float = 50.0, **more: Any) -> RefinedResult:
    kept = {None: 8, "auto": 5}.get(asked, asked)
    values = {"source": "video", "target": "audio", "metric": "accuracy", "std": None, "selection": None}
    return RefinedResult(
        refinement=refinement, asked=asked, mean=mean, **{"kept": kept, "n_dims": 8, **values, **more}
    )


def test_a_refinement_is_known_by_its_settings_and_size(tmp_path: Path) -> None:
    file, settings = tmp_path / "result.json", {"seed": 0}
    kept = ResultFile(file, settings)
    assert kept.missing("", "ave", {}) == {}
    asked = refiners(TOC={"refiner": "toc", "keep": [4, "auto"]})
    assert kept.missing("", "ave", asked) == asked
    kept.figures[""] = {"dead codes": 70.0}
    kept.add("", "ave", [row(), row("TOC", 4), row("TOC", "auto")], asked)
    again = ResultFile(file, settings)
    assert again.missing("", "ave", asked) is None
    assert again.figures == {"": {"dead codes": 70.0}}
    more = refiners(other={"refiner": "toc", "keep": [1, 4]}, similar={"refiner": "toc", "keep": 4, "lam": 0})
    assert again.missing("", "ave", more) == {
        **refiners(other={"refiner": "toc", "keep": 1}, similar={"refiner": "toc", "keep": 4, "lam": 0})
    }
    assert [r.refinement for r in again.rows("", "ave", refiners(new={"refiner": "toc", "keep": 4}))] == [
        ALL,
        "new",
    ]
    assert again.missing("first layer", "ave", {}) == again.missing("", "avvp", {}) == {}


def test_one_dimension_is_not_all_of_them(tmp_path: Path) -> None:
    kept = ResultFile(tmp_path / "result.json", {})
    kept.add("", "ave", [row(), row("TOC", 1)], refiners(TOC={"refiner": "toc", "keep": 1}))
    missing = kept.missing("", "ave", refiners(TOC={"refiner": "toc", "keep": [1, 1.0]}))
    assert missing is not None
    assert missing["TOC"].keep == (1.0,)


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"settings": {}, "rows": {}}))
    with pytest.raises(InputError, match=r"another version.*remove it"):
        ResultFile(tmp_path / "result.json", {})


def outcome(seed: int, whole: float, *refined: RefinedResult) -> Outcome:
    rows = [row(mean=whole - 10), row(mean=whole + 10, source="audio", target="video")]
    rows += [row(mean=0.0, target="video"), *refined]
    return Outcome("net", seed, 1.0, {"ave": {}}, {}, {"ave": rows})


OUTCOMES = [
    outcome(
        0, 50, row("TOC", 4, 42), row("TOC", 4, 60, source="audio", target="video"), row("TOC", "auto", 54)
    ),
    outcome(
        1, 70, row("TOC", 4, 70), row("TOC", 4, 76, source="audio", target="video"), row("TOC", "auto", 78)
    ),
]


def test_gains_are_paired_run_by_run_and_over_the_transfers_alone() -> None:
    whole, half, auto = refined_rows(OUTCOMES, "ave")
    assert (whole.values, whole.gains, whole.share) == ((50, 70), (0, 0), 1)
    assert (half.values, half.gains, half.share) == ((51, 73), (1, 3), 0.5)
    assert (auto.refinement, auto.share, auto.kept, auto.gains) == ("TOC, auto", None, (5, 5), (4, 8))


def test_the_tables_show_mean_and_deviation_of_the_gains() -> None:
    text = gain_tables(OUTCOMES)
    assert "|  |  | 50 % |\n" in text
    assert "| **net** | all dimensions: 60.0 ± 14.1 |  |\n|  | TOC | +2.0 ± 1.4 |" in text
    assert "| net | TOC, auto | 5.0 ± 0.0 of 8 | 66.0 ± 17.0 | +6.0 ± 2.8 |" in text
    assert len(refinement_lines(OUTCOMES)) == 2 * 6


def test_sizes_that_are_all_found_have_no_curve(tmp_path: Path) -> None:
    table = [cell for cell in refined_rows(OUTCOMES, "ave") if cell.share != 0.5]
    draw_gains(table, "ave", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
