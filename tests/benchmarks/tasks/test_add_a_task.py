"""The page on adding a task can be followed word for word, with its package as `pip` installs it."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from places import DOCS
from tiny_codes_method import TinyConfig, TinyMethod

import unicode_cmg as uc
from benchmarks import HeadConfig, available_protocols, available_tasks
from benchmarks.tasks import Task, read_task, task_class
from unicode_cmg.errors import InputError

PAGE = (DOCS / "guide" / "add-a-task.md").read_text(encoding="utf-8")
BIRDS, CLIPS, DIM = ("robin", "wren", "finch"), 90, 6


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the page on the path, with the metadata that its pyproject.toml asks for; its data."""
    (project,) = (tomllib.loads(block) for block in blocks("toml"))
    (module,) = project["tool"]["setuptools"]["py-modules"]
    site = tmp_path / "site-packages"
    info = site / "birds_task-0.1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(blocks("python")[0], encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: birds-task\nVersion: 0.1.0\n")
    lines = [
        line
        for group, points in project["project"]["entry-points"].items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in points.items()))
    ]
    lines += ["broken = no_such_module:Task", "other = birds_task:BirdsTask", "number = birds_task:np"]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(site))
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
    yield tmp_path
    sys.modules.pop(module, None)


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
    exec(compile(blocks("python")[1], "add-a-task.md", "exec"), {})
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
