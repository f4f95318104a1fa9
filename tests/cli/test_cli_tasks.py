"""What `unicode-cmg evaluate` does with every task, and with the options that all of them have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_world import AUDIO, VIDEO

from benchmarks.experiments.leaks import leaks
from unicode_cmg.data import FeatureStore
from unicode_cmg.data.layouts.ave import read_ave
from unicode_cmg.data.layouts.ave_avvp import write_ave_avvp
from unicode_cmg.data.layouts.avvp import Event, EventRow, write_avvp
from unicode_cmg.data.layouts.retrieval import write_retrieval
from unicode_cmg.data.layouts.ucf_vgg import UCFVGGClip, write_ucf_vgg

SIZES = {"audio": AUDIO, "video": VIDEO}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UCF101, vggsound40k and FlickrSoundNet with features of noise, in the sizes of the toy model."""
    root, rng = tmp_path_factory.mktemp("tasks"), np.random.default_rng(0)
    pairs = (("Drum", "drumming"), ("Sing", "singing"))
    video = {
        UCFVGGClip(f"v_{ucf}_g{group:02}_c01", ucf, f"g{group:02}"): rng.normal(size=(10, VIDEO))
        for ucf, _ in pairs
        for group in range(1, 16)
    }
    audio = {
        UCFVGGClip(f"{split:x<8}{vgg[:3]}{i}", vgg, split): rng.normal(size=(10, AUDIO))
        for _, vgg in pairs
        for split in ("train", "val", "test")
        for i in range(5)
    }
    write_ucf_vgg(root, pairs, video, audio)
    scenes = [f"scene{i}" for i in range(12)]
    features = {m: {s: rng.normal(size=(3, size)) for s in scenes} for m, size in SIZES.items()}
    write_retrieval("flickr-sound", root, features, [(scene, None) for scene in scenes])
    return root


def run(command, toy, task: str, data: Path, *more: str) -> dict:
    outcome = command(
        "evaluate",
        toy.run,
        "--task",
        task,
        "--data",
        data,
        "--seeds",
        "0",
        "--no-continuous",
        "--json",
        *more,
    )
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["held-out", "paper"])
@pytest.mark.parametrize(
    ("task", "metric"), [("ucf-vgg", "accuracy"), ("retrieval", "R@10"), ("retrieval-flickr-sound", "R@10")]
)
def test_a_task_is_evaluated_under_both_protocols(
    command, toy, tasks: Path, task: str, metric: str, protocol: str
) -> None:
    result = run(command, toy, task, tasks, "--protocol", protocol)
    assert result["protocol"] == protocol
    assert {row["metric"] for row in result["directions"]} == {metric}
    assert result["task"] in ("ucf-vgg", "retrieval-flickr-sound")
    assert bool(result["leaks"]) == (protocol == "paper")


def test_ave_to_avvp_needs_clips_of_one_length(command, toy, tmp_path: Path) -> None:
    """The toy AVE has clips of four steps; AVVP's have ten, and the command says so."""
    ave, rng = read_ave(toy.ave), np.random.default_rng(1)
    (tmp_path / "AVE").symlink_to(toy.ave)
    names = {split: [f"{split:x<8}{i:03}_0_10" for i in range(6)] for split in ("val", "test")}
    rows = {
        m: [EventRow(n, (Event(ave.classes[i % 2], 1, 6),)) for s in names.values() for i, n in enumerate(s)]
        for m in SIZES
    }
    features = {m: {r.filename: rng.normal(size=(10, SIZES[m])) for r in rows[m]} for m in SIZES}
    splits = {"train": {"no-times-here": ()}} | {s: dict.fromkeys(n, ()) for s, n in names.items()}
    write_avvp(tmp_path / "AVVP", features, ave.classes, rows, splits)
    write_ave_avvp(tmp_path / "AVE_AVVP", ave.classes, np.arange(len(ave.labels)), ave.labels, rows)
    error = command("evaluate", toy.run, "--task", "ave-avvp", "--data", tmp_path).error
    assert error == f"{tmp_path}: AVE clips of 4 steps; expected 10, as in AVVP"


@pytest.mark.slow
def test_printed_numbers_are_shown_when_asked_for(command, toy, tasks: Path) -> None:
    arguments = ("evaluate", toy.run, "--task", "ucf-vgg", "--data", tasks, "--seeds", "0", "--no-continuous")
    plain, beside = command(*arguments).out, command(*arguments, "--printed").out
    assert "PRINTED" not in plain
    assert "PRINTED, on other data: table 1 of the FCID paper" in beside
    assert " 67.1 " in beside


@pytest.mark.slow
def test_videos_of_a_list_are_left_out(command, toy, tasks: Path, tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("testxxxxdru0\ntestxxxxsin3\nanother\n")
    result = run(command, toy, "ucf-vgg", tasks, "--exclude", str(listed))
    assert result["data"]["dropped"]["test audio"] == 2
    FeatureStore.write(
        tmp_path / "store", {"audio": np.ones((2, 3, 4), np.float32)}, ["testxxxxdru1", "testxxxxsin3"]
    )
    result = run(command, toy, "ucf-vgg", tasks, "--exclude", str(tmp_path / "store"))
    assert result["data"]["dropped"]["test audio"] == 2


@pytest.mark.parametrize(("name", "says"), [("no", "no such file"), ("", "no features.json in this folder")])
def test_a_list_of_videos_that_is_neither_file_nor_store_is_refused(
    command, toy, tasks: Path, tmp_path: Path, name: str, says: str
) -> None:
    arguments = ("evaluate", toy.run, "--task", "ucf-vgg", "--data", tasks, "--exclude", tmp_path / name)
    assert command(*arguments).error.startswith(f"{tmp_path / name}: {says}")


def test_an_unknown_task_is_answered_with_the_known_ones(command, toy, tasks: Path) -> None:
    error = command("evaluate", toy.run, "--task", "ucf", "--data", tasks).error
    assert error.startswith("unknown task 'ucf'; expected one of ave, avvp, ave-avvp, ucf-vgg, retrieval")


@pytest.mark.slow
def test_leaks_are_measured_for_the_tasks_that_are_there(toy, tasks: Path, capsys) -> None:
    leaks([toy.run], tasks)
    printed = capsys.readouterr()
    assert printed.out.count("| held-out |") == 2
    assert "ucf-vgg, paper" in printed.out
    assert "retrieval-flickr-sound, paper" in printed.out
    assert "retrieval-clotho: skipped" in printed.err


@pytest.mark.slow
def test_all_tasks_under_all_protocols_in_one_command(command, toy, tasks: Path, tmp_path: Path) -> None:
    outcome = command(
        *(
            "evaluate",
            toy.run,
            "--task",
            "all",
            "--protocol",
            "all",
            "--data",
            tasks,
            "--seeds",
            "0",
            "--no-continuous",
        ),
        *("--to", tmp_path / "results"),
    )
    assert outcome.code == 0, outcome.err
    names = {
        f"{task}{rule}.json" for task in ("ucf-vgg", "retrieval-flickr-sound") for rule in ("", "-paper")
    }
    assert {path.name for path in (tmp_path / "results").iterdir()} == names
    assert outcome.out.count("protocol held-out") == outcome.out.count("protocol paper") == 2
    assert "avvp: skipped" in outcome.err  # its data is not there
    one = run(command, toy, "ucf-vgg", tasks)
    kept = json.loads((tmp_path / "results" / "ucf-vgg.json").read_text())
    assert kept["directions"] == one["directions"]


def test_no_task_at_all_is_refused(command, toy, tmp_path: Path) -> None:
    outcome = command("evaluate", toy.run, "--task", "all", "--data", tmp_path)
    *skipped, error = outcome.err.splitlines()
    assert outcome.code == 2
    assert error == f"error: {tmp_path}: no task that this model can be evaluated on"
    assert "ave: skipped" in skipped[0]


def test_features_of_another_extractor_are_named_by_their_file(
    command, toy, tasks: Path, tmp_path: Path
) -> None:
    clips = {f"v_Drum_g{group:02}_c01": group for group in range(1, 16)}
    video = {UCFVGGClip(n, "Drum", f"g{g:02}"): np.ones((10, VIDEO + 1)) for n, g in clips.items()}
    audio = {UCFVGGClip(f"{s:x<8}dru", "drumming", s): np.ones((10, AUDIO)) for s in ("train", "val", "test")}
    write_ucf_vgg(tmp_path, [("Drum", "drumming")], video, audio)
    error = command("evaluate", toy.run, "--task", "ucf-vgg", "--data", tmp_path).error
    assert error.startswith(f"{tmp_path / 'UCF101/feature/video/zip'}: 'video' features of shape")
