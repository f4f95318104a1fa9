"""The page on adding a task can be followed word for word, with its package as `pip` installs it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from guide_pages import code_blocks, installed_example
from places import DOCS
from tiny_codes_method import TinyConfig, TinyMethod

import unicode_cmg as uc
from benchmarks import HeadConfig, available_protocols, available_tasks
from benchmarks.tasks import Task, read_task, task_class
from unicode_cmg.errors import InputError

PAGE = (DOCS / "guide" / "add-a-task.md").read_text(encoding="utf-8")
BIRDS, CLIPS, DIM = ("robin", "wren", "finch"), 90, 6


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page on the path, with the metadata that its pyproject.toml asks for; its data."""
    broken = ("broken = no_such_module:Task", "other = birds_task:BirdsTask", "number = birds_task:np")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kinds, site_of = np.arange(CLIPS) % 3, np.arange(CLIPS) // 6
    points = 4 * np.eye(DIM)[kinds][:, None] + 0.1 * rng.normal(size=(2, CLIPS, 4, DIM))
    (tmp_path / "data").mkdir()
    np.savez(
        tmp_path / "data" / "birds.npz",
        sound=points[0].astype(np.float32),
        picture=points[1].astype(np.float32),
        bird=np.array(BIRDS)[kinds],
        site=np.array([f"site {number}" for number in site_of]),
        split=np.array(["train", "val", "test"])[np.maximum(site_of - 8, 0) % 3],
    )
    with installed_example(PAGE, tmp_path / "site-packages", broken):
        yield tmp_path


def model() -> TinyMethod:
    config = TinyConfig(modalities=("sound", "picture"), dim=DIM, num_codes=6)
    return TinyMethod(config, dict.fromkeys(config.modalities, torch.eye(DIM)), [4 * torch.eye(DIM)])


def test_the_example_is_found_read_and_evaluated(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "birds" in available_tasks()
    assert available_protocols("birds") == ("held-out", "quick")
    by_name = uc.evaluate(
        model(), "birds", "data", "quick", seeds=(0,), head=HeadConfig(lr=0.03, epochs=15, batch_size=16)
    )
    assert by_name.task == "birds"
    assert [row.mean for row in by_name.directions] == [100.0] * 4
    assert json.dumps(by_name.to_json())
    monkeypatch.setattr(uc, "load_pretrained", lambda path: model())
    exec(compile(code_blocks(PAGE, "python")[1], "add-a-task.md", "exec"), {})
    assert re.search(r"\| sound -> picture +\| +\d+\.\d \|", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "the task 'broken' of birds-task cannot be imported .*reinstall birds-task"),
        ("other", "the task 'other' of birds-task calls itself 'birds'"),
        ("number", "the task 'number' of birds-task is birds_task:np, not a subclass of benchmarks.tasks"),
        (
            "bird",
            r"unknown task 'bird'; .*labels.*did you mean 'birds'\? 'labels' takes data and labels",
        ),
    ],
)
def test_what_is_wrong_with_a_package_is_one_line(installed: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        task_class(name)


def test_the_example_says_what_file_is_missing(installed: Path) -> None:
    (installed / "data" / "birds.npz").unlink()
    with pytest.raises(InputError, match=r"data/birds.npz: no such file"):
        read_task("birds", "data")


def test_the_tables_name_what_there_is() -> None:
    needed, possible, objectives = (
        set(re.findall(r"^\| `(\w+)", table, flags=re.MULTILINE))
        for table in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.MULTILINE)
    )
    public = {key for key in vars(Task) if not key.startswith("_")} | set(Task.__annotations__)
    inherited = {"root", "classes", "modalities", "shared_rows", "fingerprint", "sampled"}
    assert needed | possible == public - inherited
    assert set(Task.__abstractmethods__) <= needed
    assert {"ClassifyClips", "LocalizeEvents"} <= objectives
