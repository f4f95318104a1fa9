"""AVE: which clips train heads, choose epochs and are reported, and what may be read of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tiny_ave import CLASSES, COUNTS, tiny_model, write_tiny_ave
from tiny_runs import FAST, copy_of, run

from benchmarks import TaskResult
from benchmarks.tasks import read_task
from toc import optimize
from unicode_cmg.errors import InputError

Results = Callable[..., TaskResult]


def change(ave: Path, file: str, key: str, edit: Callable[[np.ndarray], None]) -> None:
    with h5py.File(ave / "AVE" / "data" / file, "r+") as handle:
        values = handle[key][()]
        edit(values)
        handle[key][...] = values


def test_videos_on_both_sides_are_left_out_of_both(result_of: Results) -> None:
    result = result_of("ave")
    assert result.data.counts == {"train": 58, "val": 24, "test": 38}
    assert result.data.dropped == {"train": 2, "val": 0, "test": 2}


def test_held_out_never_sees_the_target_modality_before_the_test(ave: Path, tmp_path: Path) -> None:
    """Ruin every audio clip but those of the test split: video -> audio stays the same to the last bit."""
    ruined = copy_of(ave, tmp_path)

    def ruin(features: np.ndarray) -> None:
        features[: COUNTS["train"] + COUNTS["val"]] = 3.0

    change(ruined, "audio_feature.h5", "avadataset", ruin)
    before, after = (run("ave", root, directions=["video->audio"]).directions for root in (ave, ruined))
    assert before == after


def test_held_out_does_not_choose_by_test_labels(ave: Path, tmp_path: Path) -> None:
    relabelled = copy_of(ave, tmp_path)
    first = COUNTS["train"] + COUNTS["val"]

    def shift(labels: np.ndarray) -> None:
        labels[first:, :, :4] = np.roll(labels[first:, :, :4], 1, axis=-1)

    change(relabelled, "labels.h5", "avadataset", shift)
    file = relabelled / "AVE" / "data" / "Annotations.txt"
    lines = file.read_text().splitlines()
    names = {name: CLASSES[(i + 1) % 4] for i, name in enumerate(CLASSES)}
    for row in range(first, len(lines)):
        name, rest = lines[row].split("&", 1)
        lines[row] = f"{names[name]}&{rest}"
    file.write_text("\n".join(lines) + "\n")
    before, after = (
        run("ave", root, directions=["video->audio"]).directions[0] for root in (ave, relabelled)
    )
    assert before.epochs_selected == after.epochs_selected
    assert after.mean < 5 < 95 < before.mean


def test_the_paper_protocol_reports_training_clips_and_says_so(ave: Path, tmp_path: Path) -> None:
    result = run("ave", ave, "paper", directions=["video->audio"])
    assert result.data.counts == {"train": COUNTS["train"]}
    assert [leak[:3] for leak in result.leaks] == ["P1:", "P3:"]
    ruined = copy_of(ave, tmp_path)

    def ruin(features: np.ndarray) -> None:
        features[COUNTS["train"] :] = 3.0

    change(ruined, "audio_feature.h5", "avadataset", ruin)
    again = run("ave", ruined, "paper", directions=["video->audio"])
    assert again.directions == result.directions


@pytest.mark.slow
def test_the_paper_protocol_takes_the_best_epoch_of_the_reported_rows(ave: Path) -> None:
    hard = optimize(tiny_model().codebooks()["layer0"].numpy(), 2)

    def reached(epochs: int, select: str) -> float:
        head = FAST.model_copy(update={"epochs": epochs, "select": select})
        result = run("ave", ave, "paper", seeds=(0,), toc=hard, head=head, directions=["video->audio"])
        return result.directions[0].mean

    by_epoch = [reached(n, "last") for n in range(1, 6)]
    assert by_epoch[-1] < max(by_epoch), "the last epoch is the best: the case would not tell"
    assert reached(5, "best-val") == max(by_epoch)


def test_the_majority_class_is_that_of_the_training_clips(ave: Path, result_of: Results) -> None:
    task, result = read_task("ave", ave), result_of("ave")
    drop = set(task.shared_rows("video").tolist())
    rows = ([r for r in task.rows("video", s) if r not in drop] for s in ("train", "test"))
    train, test = (task.labels("video", np.array(r)) for r in rows)
    expected = 100 * np.mean(test == np.bincount(train).argmax())
    assert result.majority == result.direction("video", "video").constant == pytest.approx(expected)


def test_fingerprints_follow_the_data_and_the_checkpoint(
    ave: Path, result_of: Results, tmp_path: Path
) -> None:
    plain, copy, changed = result_of("ave"), copy_of(ave, tmp_path), tiny_model()
    change(copy, "audio_feature.h5", "avadataset", lambda x: x.__setitem__((0, 0, 0), 9.0))
    with torch.no_grad():
        changed.books[0].embedding[0, 0] += 1e-3
    other = run("ave", copy, model=changed, seeds=(0,), directions=["video->video"])
    assert read_task("ave", ave).fingerprint() == plain.data.fingerprint != other.data.fingerprint
    assert plain.checkpoint.fingerprint != other.checkpoint.fingerprint


@pytest.mark.parametrize("inner", ["", "AVE", "AVE/data"])
def test_the_data_root_may_be_any_of_the_three_folders(ave: Path, inner: str) -> None:
    assert read_task("ave", ave / inner).classes == CLASSES


def test_a_data_set_without_text_is_evaluated_without_text(tmp_path: Path) -> None:
    root = write_tiny_ave(tmp_path, text=False)
    assert len(run("ave", root).directions) == 4


def test_a_split_that_shares_every_video_is_refused(ave: Path, tmp_path: Path) -> None:
    copy = copy_of(ave, tmp_path)
    file = copy / "AVE" / "data" / "Annotations.txt"
    lines = [line.split("&") for line in file.read_text().splitlines()]
    for line in lines:
        line[1] = "the same"
    file.write_text("\n".join("&".join(line) for line in lines))
    with pytest.raises(InputError, match="train split has no video clip left"):
        run("ave", copy)
