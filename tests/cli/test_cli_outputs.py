"""A place that cannot be written to is refused before the work, not after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_world import Outcome, Toy

from unicode_cmg.checkpoints import load_pretrained

NOWHERE = Path("/dev/null/results")


@pytest.fixture(autouse=True)
def _no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began before the output was checked")

    for name in (
        "unicode_cmg.inspect.codes.describe.describe_codes",
        "unicode_cmg.inspect.slots.page.matched_slots",
        "benchmarks.evaluation.evaluate.evaluate",
        "unicode_cmg.encoding.table._write",
        "benchmarks.report.render",
    ):
        monkeypatch.setattr(name, work)


def test_codes_slots_encode_and_evaluate_check_first(
    command: Callable[..., Outcome], toy: Toy, tmp_path: Path
) -> None:
    evaluate = ("evaluate", toy.run, "--task", "ave", "--data", toy.ave)
    for arguments in (
        ("codes", toy.run, toy.store, "--to", NOWHERE),
        ("slots", toy.run, toy.store, "--to", NOWHERE / "page.html"),
        ("encode", toy.run, toy.store, "--to", NOWHERE / "codes.parquet"),
        (*evaluate, "--to", NOWHERE / "ave.json"),
    ):
        assert "/dev/null" in command(*arguments).error
    assert command(*evaluate, "--to", tmp_path).error == (
        f"{tmp_path}: this is a folder; expected a JSON file to write"
    )
    (tmp_path / "results.json").write_text("{}")
    error = command(*evaluate, "--protocol", "all", "--to", tmp_path / "results.json").error
    assert error.endswith("this is a file; expected a folder to write")


def test_the_report_checks_first(command: Callable[..., Outcome], toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((toy.run / "config.yaml").read_text())
    (tmp_path / "report.html").mkdir()
    assert command("report", tmp_path).error.endswith(
        "report.html: this is a folder; expected a file to write"
    )


def test_convert_exports_the_model_of_a_run(
    command: Callable[..., Outcome], toy: Toy, tmp_path: Path
) -> None:
    done = command("convert", toy.run, "--to", tmp_path / "mine", "--json")
    assert json.loads(done.out)["layout"] == "native"
    assert load_pretrained(tmp_path / "mine").name == "dcid"
