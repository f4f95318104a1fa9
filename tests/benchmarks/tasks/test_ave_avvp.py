"""AVE -> AVVP: which clips are in which split, and what heads make of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_across import ALSO_IN_AVVP, COUNTS, SHARED
from tiny_avvp import CLASSES, names, tiny_localizer
from tiny_runs import copy_of, ruin, run
from torch import nn

from benchmarks import TaskResult
from benchmarks.tasks import read_task, task_class
from unicode_cmg.data.layouts.ave import Annotation, read_ave, write_ave
from unicode_cmg.data.layouts.ave_avvp import write_ave_avvp
from unicode_cmg.data.layouts.avvp import event_labels, write_events
from unicode_cmg.data.layouts.zips import read_clip, write_clip
from unicode_cmg.errors import InputError

AVE_ROWS = sum(COUNTS.values())


@pytest.fixture
def result(result_of: Callable[..., TaskResult]) -> TaskResult:
    return result_of("ave-avvp")


def test_heads_learn_from_ave_and_are_judged_on_avvp(across: Path) -> None:
    task = read_task("ave-avvp", across)
    for modality in ("audio", "video"):
        table = [row.filename for row in task.data.avvp.rows[modality]]
        assert set(task.rows(modality, "train")) <= set(range(COUNTS["train"]))
        assert set(task.rows(modality, "val")) <= set(range(COUNTS["train"], AVE_ROWS))
        tested = {table[row - AVE_ROWS] for row in task.rows(modality, "test")}
        tuned = {table[row - AVE_ROWS] for row in task.rows(modality, "avvp val")}
        assert tested <= set(names()["test"])
        assert tuned <= set(names()["val"])
        assert min(len(tested), len(tuned)) > 10


def test_the_paper_takes_all_splits_of_ave_and_every_row_of_avvp(across: Path) -> None:
    task = read_task("ave-avvp", across)
    assert task.rows("audio", "ave").tolist() == task.data.order.tolist()
    assert any(row >= COUNTS["train"] + COUNTS["val"] for row in task.rows("audio", "ave"))
    table = task.data.avvp.rows["audio"]
    assert task.rows("audio", "avvp").tolist() == list(range(AVE_ROWS, AVE_ROWS + len(table)))


def test_a_clip_that_avvp_lists_twice_is_in_no_split_but_the_papers(across: Path) -> None:
    task, twice = read_task("ave-avvp", across), names()["test"][5]
    listed = [AVE_ROWS + i for i, r in enumerate(task.data.avvp.rows["audio"]) if r.filename == twice]
    assert len(listed) == 2
    assert not set(listed) & set(task.rows("audio", "test"))


def test_labels_and_features_are_those_of_the_set_a_row_is_from(across: Path) -> None:
    task = read_task("ave-avvp", across)
    ave, avvp = read_ave(across / "AVE"), task.data.avvp
    rows = np.array([4, 7, AVE_ROWS + 2, AVE_ROWS + 9])
    labels, features = task.labels("video", rows), task.features("video", rows)
    np.testing.assert_array_equal(features[:2], ave.features("video", rows[:2]))
    np.testing.assert_array_equal(features[2:], avvp.features("video", rows[2:] - AVE_ROWS))
    columns = [CLASSES.index(name) for name in SHARED]
    np.testing.assert_array_equal(labels[:2, :, :-1], ave.labels[4:8:3][..., columns])
    for label, row in zip(labels[2:], rows[2:] - AVE_ROWS, strict=True):
        np.testing.assert_array_equal(label, event_labels(avvp.rows["video"][row].events, SHARED))


def test_a_video_of_both_sets_is_on_no_side(across: Path, result: TaskResult) -> None:
    task = read_task("ave-avvp", across)
    shared = {task.videos("audio")[row] for row in task.shared_rows("audio")}
    assert {name[:11] for name in names()["test"][10 : 10 + ALSO_IN_AVVP]} <= shared
    assert result.data.dropped["train audio"] == result.data.dropped["train video"] == ALSO_IN_AVVP
    assert result.data.dropped["val audio"] == 1
    assert result.data.dropped["test audio"] > 0


def test_planted_events_are_found_across_modalities_and_data_sets(result: TaskResult) -> None:
    """Most of them: AVE shows one class at a time, so heads have never met a second with two."""
    assert [row.kind for row in result.directions] == ["transfer"] * 2 + ["same-modality"] * 2
    assert min(row.mean for row in result.directions) > 88
    assert result.classes == SHARED


def test_what_is_heard_and_seen_together_is_measured_where_a_head_judges_both(
    across: Path, result: TaskResult
) -> None:
    assert [(joint.source, joint.targets) for joint in result.joint] == [
        ("audio", ("audio", "video")),
        ("video", ("audio", "video")),
    ]
    for joint in result.joint:
        assert joint.clips <= result.data.counts["test video"]
        assert min(measure.mean for measure in joint.measures.values()) > 75
    assert run("ave-avvp", across, directions=["video->audio"]).joint == ()


@pytest.mark.slow
def test_held_out_never_sees_the_target_set_before_the_test(across: Path, tmp_path: Path) -> None:
    """Ruin AVE's audio and every AVVP clip of the val list: video -> audio stays the same to the last bit."""
    ruined = copy_of(across, tmp_path)
    ave = read_ave(across / "AVE")
    features = {m: ave.features(m, np.arange(AVE_ROWS)) for m in ("video", "audio")}
    features["audio"][:] = 3.0
    shutil.rmtree(ruined / "AVE")
    write_ave(ruined / "AVE", features, ave.labels, ave.order, ave.annotations)
    tested = {name[:11] for name in names()["test"]}
    ruin(ruined / "AVVP" / "feature" / "audio" / "zip", {name[:11] for name in names()["val"]} - tested)
    before, after = (
        run("ave-avvp", root, directions=["video->audio"]).directions for root in (across, ruined)
    )
    assert before == after


@pytest.mark.slow
def test_settings_are_chosen_on_the_val_list_of_avvp(across: Path) -> None:
    rule = task_class("ave-avvp").protocols["held-out"].reporting_on("val")
    result = run("ave-avvp", across, rule)
    assert result.protocol == "held-out, reported on val"
    assert not any(name.startswith("test") for name in result.data.counts)
    assert result.data.counts["avvp val audio"] > 20


@pytest.mark.slow
def test_the_paper_protocol_reports_its_leaks_and_the_released_f1(
    result_of: Callable[..., TaskResult],
) -> None:
    result = result_of("ave-avvp", "paper")
    assert result.joint == ()
    assert [leak.split(":")[0] for leak in result.leaks] == ["P1", "P3", "P4", "P5", "P10"]
    assert {row.metric for row in result.directions} == {"f1"}
    assert result.data.dropped == {"ave audio": 0, "ave video": 0, "avvp audio": 0, "avvp video": 0}
    assert result.head is not None
    assert min(row.mean for row in result.directions) > 90


def test_the_paper_clips_the_gradient_of_the_discounts_too(across: Path) -> None:
    rule = task_class("ave-avvp").protocols["paper"]
    assert rule.objective.clips_loss_parameters  # type: ignore[attr-defined]
    assert not task_class("avvp").protocols["paper-f1"].objective.clips_loss_parameters  # type: ignore[attr-defined]


@pytest.mark.slow
def test_videos_that_pretraining_has_seen_can_be_left_out(
    across: Path, result: TaskResult, tmp_path: Path
) -> None:
    seen = [name[:11] for name in names()["test"][20:30]]
    without = run("ave-avvp", across, exclude=seen)
    assert without.data.counts["test video"] == result.data.counts["test video"] - sum(
        name[:11] in seen for name in _tested(across, "video")
    )
    listed = tmp_path / "ids.txt"
    listed.write_text("\n".join(seen) + "\n")
    assert run("ave-avvp", across, exclude=listed).directions == without.directions


def _tested(root: Path, modality: str) -> list[str]:
    task = read_task("ave-avvp", root)
    rows = np.setdiff1d(task.rows(modality, "test"), task.shared_rows(modality))
    return [task.names(modality)[row] for row in rows]


@pytest.mark.slow
def test_codes_that_mean_something_else_in_the_target_do_not_transfer(across: Path) -> None:
    model = tiny_localizer()
    model.maps["audio"] = nn.Parameter(model.maps["audio"].roll(1, dims=1))
    result = run("ave-avvp", across, model=model, directions=["video->audio", "audio->audio"])
    transfer, ceiling = (row.mean for row in result.directions)
    assert transfer < 60 < ceiling - 10


def test_the_fingerprint_follows_both_sets(across: Path, tmp_path: Path) -> None:
    copy = copy_of(across, tmp_path)
    same = read_task("ave-avvp", copy).fingerprint()
    fewer = {modality: table[:-1] for modality, table in read_task("ave-avvp", copy).data.avvp.rows.items()}
    write_events(copy / "AVE_AVVP" / "data", "AVE_AVVP", fewer, {"_checked_combined": "\t"})
    assert read_task("ave-avvp", copy).fingerprint() != same


def test_clips_of_other_sizes_in_the_two_sets_are_refused(across: Path, tmp_path: Path) -> None:
    copy = copy_of(across, tmp_path)
    for file in (copy / "AVVP" / "feature" / "audio" / "zip").iterdir():
        write_clip(file, read_clip(file)[:, :5])
    with pytest.raises(InputError, match="audio of AVE is"):
        run("ave-avvp", copy)


def test_ave_clips_of_another_length_are_refused(across: Path, tmp_path: Path) -> None:
    copy = copy_of(across, tmp_path)
    ave = read_ave(across / "AVE")
    shutil.rmtree(copy / "AVE")
    features = {m: ave.features(m, np.arange(AVE_ROWS))[:, :6] for m in ("video", "audio")}
    annotations = [Annotation(a[0], a[1], min(a.start, 6), min(a.end, 6)) for a in ave.annotations]
    write_ave(copy / "AVE", features, ave.labels[:, :6], ave.order, annotations)
    data = read_task("ave-avvp", across).data
    shutil.rmtree(copy / "AVE_AVVP")
    write_ave_avvp(copy / "AVE_AVVP", SHARED, data.order, data.ave_labels[:, :6], data.avvp.rows)
    with pytest.raises(InputError, match="AVE clips of 6 steps"):
        run("ave-avvp", copy)


def test_rows_of_ave_come_first(across: Path) -> None:
    with pytest.raises(ValueError, match="rows of AVE after"):
        read_task("ave-avvp", across).labels("audio", np.array([AVE_ROWS, 0]))
