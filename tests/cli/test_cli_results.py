"""What the commands print, write and return."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import unicode_cmg


def test_version_is_printed(command) -> None:
    assert command("--version").out == f"unicode-cmg {unicode_cmg.__version__}\n"


@pytest.mark.parametrize(
    "group",
    [
        *([], ["data"], ["quickstart"], ["data", "digits"], ["pretrain"], ["toc"], ["evaluate"], ["report"]),
        *(["convert"], ["encode"], ["codes"]),
    ],
)
def test_every_command_has_help(command, group: list[str]) -> None:
    outcome = command(*group, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(" ".join(["Usage: unicode-cmg", *group]))
    assert outcome.err == ""


@pytest.mark.parametrize("group", [[], ["data"]])
def test_without_a_command_the_help_is_printed_and_the_exit_code_is_2(command, group: list[str]) -> None:
    outcome = command(*group)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == command(*group, "--help").out


@pytest.mark.slow
def test_pretrain_continues_its_own_run(command, toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = command("pretrain", toy.config, "--to", run, "--json")
    again = command("pretrain", toy.config, "--to", run, "--set", "training.epochs=2", "--json")
    assert json.loads(first.out)["steps"] == 3
    assert json.loads(again.out)["steps"] == 6


def test_settings_on_the_command_line_reach_the_run(command, toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command("pretrain", toy.config, "--to", run, "--set", "training.seed=5", "--set", "optimizer.lr=0.01")
    config = unicode_cmg.config.load_yaml(run / "config.yaml")
    assert (config["training"]["seed"], config["optimizer"]["lr"]) == (5, 0.01)


@pytest.mark.slow
def test_evaluate_with_toc_writes_what_it_prints(command, toy, tmp_path: Path) -> None:
    command("toc", toy.run, "--to", tmp_path / "toc")
    arguments = ("evaluate", toy.run, "--task", "ave", "--data", toy.ave, "--seeds", "0,3")
    outcome = command(*arguments, "--toc", tmp_path / "toc", "--to", tmp_path / "out.json", "--json")
    result = json.loads(outcome.out)
    assert result == json.loads((tmp_path / "out.json").read_text())
    assert result["seeds"] == [0, 3]
    assert result["toc"][0]["kept"] == 4
    assert "video -> audio" in command(*arguments).out


@pytest.mark.slow
def test_report_prints_where_it_is(command, toy) -> None:
    outcome = command("report", toy.run)
    assert (outcome.code, outcome.out) == (0, f"report: {toy.run / 'report.html'}\n")
    files = {"report": str(toy.run / "report.html"), "results": str(toy.run / "results.json")}
    assert json.loads(command("report", toy.run, "--json").out) == files
