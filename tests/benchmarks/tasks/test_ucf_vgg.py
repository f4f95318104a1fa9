"""UCF101 <-> VGGSound: one set is only seen, the other only heard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import copy_of, ruin, run
from tiny_ucf_vgg import GROUPS, HEARD, HEARD_PER_SPLIT, PAIRS, SEEN, SHARED

from benchmarks import TaskResult
from benchmarks.tasks import read_task, task_class
from unicode_cmg.data.layouts.zips import read_clip

ZIPS = {"video": Path("UCF101/feature/video/zip"), "audio": Path("vggsound40k/feature/audio/zip")}


def task_of(root: Path, protocol: str = "held-out") -> Any:
    return read_task("ucf-vgg", root).under(task_class("ucf-vgg").protocols[protocol])


def test_a_group_of_ucf_is_on_one_side(ucf_vgg: Path) -> None:
    task = task_of(ucf_vgg)
    groups = {
        split: {int(task.data.video.clips[row].part[1:]) for row in task.rows("video", split)}
        for split in ("train", "val", "test")
    }
    assert groups["test"] == set(range(1, 8))
    assert groups["val"] == {8, 9, 10}
    assert groups["train"] == set(range(11, 26))
    assert sum(map(len, groups.values())) == len(GROUPS)


def test_audio_has_the_split_of_its_list(ucf_vgg: Path) -> None:
    task = task_of(ucf_vgg)
    for split, count in HEARD_PER_SPLIT.items():
        rows = task.rows("audio", split)
        assert len(rows) == count * len(SHARED)
        assert {task.data.audio.clips[row].part for row in rows} == {split}


def test_held_out_has_the_classes_of_both_sides_numbered_anew(ucf_vgg: Path) -> None:
    task = task_of(ucf_vgg)
    assert task.classes == tuple(PAIRS[pair][1] for pair in SHARED)
    for modality, side in (("video", 0), ("audio", 1)):
        rows = np.concatenate([task.rows(modality, split) for split in ("train", "val", "test")])
        clips = [(task.data.video if modality == "video" else task.data.audio).clips[row] for row in rows]
        named = [PAIRS[SHARED[label]][side] for label in task.labels(modality, rows)]
        assert named == [clip.category for clip in clips]


def test_the_paper_has_every_class_and_every_clip(ucf_vgg: Path) -> None:
    task = task_of(ucf_vgg, "paper")
    assert len(task.classes) == len(PAIRS)
    assert len(task.rows("video", "all")) == len(SEEN) * len(GROUPS) + 1
    assert len(task.rows("audio", "all")) == len(HEARD) * sum(HEARD_PER_SPLIT.values())
    labels = task.labels("audio", task.rows("audio", "all"))
    assert set(labels.tolist()) == set(HEARD)


def test_a_video_without_a_group_is_in_no_split_but_the_papers(ucf_vgg: Path) -> None:
    task = task_of(ucf_vgg)
    (odd,) = (i for i, clip in enumerate(task.data.video.clips) if not clip.part)
    assert not any(odd in task.rows("video", split) for split in ("train", "val", "test"))
    assert odd in task_of(ucf_vgg, "paper").rows("video", "all")


def test_classes_transfer_between_what_is_seen_and_what_is_heard(
    result_of: Callable[..., TaskResult],
) -> None:
    result = result_of("ucf-vgg")
    assert [f"{row.source}->{row.target}" for row in result.directions] == [
        *("video->audio", "audio->video"),
        *("video->video", "audio->audio"),
    ]
    assert min(row.mean for row in result.directions) > 95
    assert result.chance == pytest.approx(100 / 3)
    assert result.data.counts["test video"] == 7 * len(SHARED)
    assert result.data.counts["test audio"] == 8 * len(SHARED)
    assert result.joint == ()


@pytest.mark.slow
def test_held_out_never_sees_the_target_set_before_the_test(ucf_vgg: Path, tmp_path: Path) -> None:
    """Ruin every sound but those of the test split: video -> audio stays the same to the last bit."""
    copy = copy_of(ucf_vgg, tmp_path)
    ruin(
        copy / ZIPS["audio"],
        [clip.video_id for clip in task_of(copy).data.audio.clips if clip.part != "test"],
    )
    before, after = (
        run("ucf-vgg", root, directions=["video->audio"]).directions[0] for root in (ucf_vgg, copy)
    )
    # the control renames the codes that occur in any clip read, and no head learns from it
    assert before.model_copy(update={"shuffled": after.shuffled}) == after


def test_the_paper_is_capped_by_classes_without_a_partner(result_of: Callable[..., TaskResult]) -> None:
    result = result_of("ucf-vgg", "paper")
    for row, here, there in zip(result.directions[:2], (HEARD, SEEN), (SEEN, HEARD), strict=True):
        assert row.kind == "transfer"
        assert row.mean <= 100 * len(set(here) & set(there)) / len(here) + 1
        assert row.mean > 60
    assert [leak.split(":")[0] for leak in result.leaks] == ["P3", "P9", "P9"]


def test_features_of_a_clip_are_cut_or_padded_to_ten(ucf_vgg: Path) -> None:
    task = task_of(ucf_vgg)
    rows = task.rows("video", "val")[:3]
    values = task.features("video", rows)
    assert values.shape[1] == 10
    for value, row in zip(values, rows, strict=True):
        stored = read_clip(ucf_vgg / ZIPS["video"] / f"{task.names('video')[row]}.zip")[:10]
        np.testing.assert_array_equal(value[: len(stored)], stored)
        np.testing.assert_array_equal(value[len(stored) :], np.repeat(stored[-1:], 10 - len(stored), axis=0))
    assert task.mask("video", rows).all()


def test_a_sound_that_is_listed_in_two_splits_is_in_neither(ucf_vgg: Path, tmp_path: Path) -> None:
    copy = copy_of(ucf_vgg, tmp_path)
    table = copy / "UCF101" / "data" / "vggsound2ucf.csv"
    twice = next(line for line in table.read_text().splitlines() if line.endswith(",train"))
    table.write_text(table.read_text() + twice.removesuffix("train") + "test\n")
    counts = run("ucf-vgg", copy, directions=["audio->audio"]).data
    assert (counts.dropped["train"], counts.dropped["test"]) == (1, 1)


def test_the_fingerprint_follows_the_clips(ucf_vgg: Path, tmp_path: Path) -> None:
    copy = copy_of(ucf_vgg, tmp_path)
    same = task_of(copy).fingerprint()
    ruin(copy / ZIPS["video"], [task_of(copy).names("video")[0]])
    assert task_of(copy).fingerprint() != same
