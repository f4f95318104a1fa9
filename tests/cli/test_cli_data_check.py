from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toy_world import Outcome

from unicode_cmg.data.layouts import write_retrieval

Command = Callable[..., Outcome]


@pytest.fixture
def flickr(tmp_path: Path) -> Path:
    clips = {f"item-{i}": np.ones((2, 128)) for i in range(3)}
    features = {"audio": clips, "video": {item: np.ones((1, 7, 7, 512)) for item in clips}}
    write_retrieval("flickr-sound", tmp_path, features, [(item, None) for item in clips])
    return tmp_path


def test_data_without_a_problem_leaves_with_0(command: Command, flickr: Path) -> None:
    outcome = command("data", "check", "flickr-sound", flickr)
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out.splitlines()[0] == f"flickr-sound in {flickr}"
    assert outcome.out.splitlines()[-1] == "no problems, no notes: this data can be used"


def test_data_with_a_problem_leaves_with_2_and_the_whole_list(command: Command, flickr: Path) -> None:
    for modality in ("audio", "image"):
        (flickr / f"FlickrSoundNet/Data/feature/{modality}/zip/item-1.zip").unlink()
    outcome = command("data", "check", "flickr-sound", flickr)
    assert outcome.code == 2
    assert outcome.err == ""
    assert outcome.out.count("1 of 3 clips have no zip: item-1") == 2
    assert outcome.out.splitlines()[-1].startswith("2 problems, no notes: this data cannot")


def test_json_is_all_that_is_printed(command: Command, flickr: Path) -> None:
    outcome = command("data", "check", "flickr-sound", flickr, "--all", "--json")
    values = json.loads(outcome.out)
    assert (outcome.code, values["usable"], values["counts"]["problem"]) == (0, True, 0)
    assert any("3 read" in entry["what"] for entry in values["entries"])
    (flickr / "FlickrSoundNet/Data/test.csv").write_text("name\nx.mp4\n")
    outcome = command("data", "check", "flickr-sound", flickr, "--json")
    assert outcome.code == 2
    assert json.loads(outcome.out)["usable"] is False


def test_an_unknown_task_is_one_line(command: Command, flickr: Path) -> None:
    assert command("data", "check", "flickr", flickr).error.startswith(
        "unknown task 'flickr'; expected one of ave, avvp"
    )
    assert "no such folder" in command("data", "check", "coco", flickr / "x").error
