"""Which clips of an AVVP folder are in which split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from tiny_avvp import CLASSES, names, write_tiny_avvp

from benchmarks.tasks import read_task
from benchmarks.tasks.avvp import AVVPTask
from unicode_cmg.data.layouts.avvp import event_labels


def task_of(root: Path) -> AVVPTask:
    task = read_task("avvp", root)
    assert isinstance(task, AVVPTask)
    return task


def members(task: AVVPTask, modality: str, split: str) -> list[str]:
    return [task.data.rows[modality][row].filename for row in task.rows(modality, split)]


def test_published_val_clips_train_heads_or_choose_their_epoch(avvp: Path) -> None:
    task = task_of(avvp)
    for modality in ("audio", "video"):
        train, val = members(task, modality, "train"), members(task, modality, "val")
        assert sorted(train + val) == sorted(names()["val"])
        assert 0.1 < len(val) / len(train + val) < 0.3


def test_all_of_a_video_is_on_the_same_side(avvp: Path) -> None:
    task, pairs = task_of(avvp), names()["val"][2:22]
    assert members(task, "audio", "val") == members(task, "video", "val")
    val = set(members(task, "audio", "val"))
    sides = [(first in val, second in val) for first, second in zip(pairs[::2], pairs[1::2], strict=True)]
    assert all(first == second for first, second in sides)
    assert len(set(sides)) == 2, "all on one side: the case would not tell"


def test_a_train_list_with_times_is_used_as_it_is(tmp_path: Path) -> None:
    task = task_of(write_tiny_avvp(tmp_path, train_times=True))
    for split in ("train", "val"):
        assert members(task, "audio", split) == names()[split]


def test_a_clip_that_is_listed_twice_is_in_no_split(avvp: Path) -> None:
    task, twice = task_of(avvp), names()["test"][5]
    assert members(task, "audio", "all").count(twice) == 2
    assert twice not in members(task, "audio", "test")
    assert twice in members(task, "video", "test")


def test_every_row_is_in_all_and_clips_of_no_list_are_in_no_split(avvp: Path) -> None:
    task, odd = task_of(avvp), "odd-one-out_0_10"
    for modality, table in task.data.rows.items():
        np.testing.assert_array_equal(task.rows(modality, "all"), np.arange(len(table)))
        assert odd in members(task, modality, "all")
        assert not any(odd in members(task, modality, split) for split in ("train", "val", "test"))


def test_two_parts_of_a_video_on_both_sides_are_shared(avvp: Path) -> None:
    task = task_of(avvp)
    for modality in ("audio", "video"):
        found = {task.data.rows[modality][row].filename for row in task.shared_rows(modality)}
        assert found == {*names()["val"][:2], *names()["test"][:2]}


def test_labels_are_those_of_the_modality(avvp: Path) -> None:
    task = task_of(avvp)
    for modality, table in task.data.rows.items():
        labels = task.labels(modality, np.array([3, 1]))
        expected = [event_labels(table[row].events, CLASSES) for row in (3, 1)]
        np.testing.assert_array_equal(labels, np.stack(expected))
    assert not np.array_equal(*(task.labels(m, np.arange(20)) for m in ("audio", "video")))


def test_the_fingerprint_follows_labels_and_features_but_not_the_name_of_the_folder(
    avvp: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(avvp, tmp_path / "copy"))
    prints = [task_of(root).fingerprint() for root in (avvp, copy, copy / "AVVP")]
    assert len(set(prints)) == 1
    file = copy / "AVVP" / "data" / "AVVP_eval_visual_checked_combined.csv"
    text = file.read_text()
    file.write_text(text.replace("bell", "dog", 1))
    assert task_of(copy).fingerprint() != prints[0]
    file.write_text(text)
    first = sorted((copy / "AVVP" / "feature" / "audio" / "zip").glob("val*"))[:2]
    shutil.copy(first[1], first[0])
    assert task_of(copy).fingerprint() != prints[0]
