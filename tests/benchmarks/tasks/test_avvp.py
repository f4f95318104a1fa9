"""AVVP: which clips are in which split, and what heads make of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from head_cases import PlainLocalizer
from sklearn.metrics import f1_score
from tiny_avvp import CLASSES, DIM, names, tiny_localizer, write_tiny_avvp
from tiny_runs import copy_of, ruin, run
from torch import nn

from benchmarks import HeadConfig, TaskResult, evaluate
from benchmarks.evaluation.heads import Heads
from benchmarks.tasks import read_task, task_class
from benchmarks.tasks.avvp import AVVPTask
from toc import optimize
from unicode_cmg.data.layouts.avvp import Event, EventRow, event_labels, read_avvp, write_events
from unicode_cmg.errors import InputError

ZIPS = Path("AVVP/feature/audio/zip")


def members(task: AVVPTask, modality: str, split: str) -> list[str]:
    return [task.data.rows[modality][row].filename for row in task.rows(modality, split)]


def change_events(root: Path, modality: str, edit: Callable[[EventRow], EventRow]) -> None:
    """Rewrite the table of one modality."""
    rows = dict(read_avvp(root / "AVVP").rows)
    rows[modality] = tuple(edit(row) for row in rows[modality])
    write_events(root / "AVVP" / "data", "AVVP", rows, {"_checked_combined": "\t"})


def test_published_val_clips_train_heads_or_choose_their_epoch(avvp: Path) -> None:
    task = read_task("avvp", avvp)
    for modality in ("audio", "video"):
        train, val = members(task, modality, "train"), members(task, modality, "val")
        assert sorted(train + val) == sorted(names()["val"])
        assert 0.1 < len(val) / len(train + val) < 0.3


def test_all_of_a_video_is_on_the_same_side(avvp: Path) -> None:
    task, pairs = read_task("avvp", avvp), names()["val"][2:22]
    assert members(task, "audio", "val") == members(task, "video", "val")
    val = set(members(task, "audio", "val"))
    sides = [(first in val, second in val) for first, second in zip(pairs[::2], pairs[1::2], strict=True)]
    assert all(first == second for first, second in sides)
    assert len(set(sides)) == 2, "all on one side: the case would not tell"


def test_a_train_list_with_times_is_used_as_it_is(tmp_path: Path) -> None:
    task = read_task("avvp", write_tiny_avvp(tmp_path, train_times=True))
    for split in ("train", "val"):
        assert members(task, "audio", split) == names()[split]


def test_a_clip_that_is_listed_twice_is_in_no_split(avvp: Path) -> None:
    task, twice = read_task("avvp", avvp), names()["test"][5]
    assert members(task, "audio", "all").count(twice) == 2
    assert twice not in members(task, "audio", "test")
    assert twice in members(task, "video", "test")


def test_every_row_is_in_all_and_clips_of_no_list_are_in_no_split(avvp: Path) -> None:
    task, odd = read_task("avvp", avvp), "odd-one-out_0_10"
    for modality, table in task.data.rows.items():
        np.testing.assert_array_equal(task.rows(modality, "all"), np.arange(len(table)))
        assert odd in members(task, modality, "all")
        assert not any(odd in members(task, modality, split) for split in ("train", "val", "test"))


def test_two_parts_of_a_video_on_both_sides_are_shared(avvp: Path) -> None:
    task = read_task("avvp", avvp)
    for modality in ("audio", "video"):
        found = {task.data.rows[modality][row].filename for row in task.shared_rows(modality)}
        assert found == {*names()["val"][:2], *names()["test"][:2]}


def test_labels_are_those_of_the_modality(avvp: Path) -> None:
    task = read_task("avvp", avvp)
    for modality, table in task.data.rows.items():
        labels = task.labels(modality, np.array([3, 1]))
        expected = [event_labels(table[row].events, CLASSES) for row in (3, 1)]
        np.testing.assert_array_equal(labels, np.stack(expected))
    assert not np.array_equal(*(task.labels(m, np.arange(20)) for m in ("audio", "video")))


def test_the_fingerprint_follows_labels_and_features_but_not_the_name_of_the_folder(
    avvp: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(avvp, tmp_path / "copy"))
    prints = [read_task("avvp", root).fingerprint() for root in (avvp, copy, copy / "AVVP")]
    assert len(set(prints)) == 1
    file = copy / "AVVP" / "data" / "AVVP_eval_visual_checked_combined.csv"
    text = file.read_text()
    file.write_text(text.replace("bell", "dog", 1))
    assert read_task("avvp", copy).fingerprint() != prints[0]
    file.write_text(text)
    first = sorted((copy / ZIPS).glob("val*"))[:2]
    shutil.copy(first[1], first[0])
    assert read_task("avvp", copy).fingerprint() != prints[0]


def test_planted_events_are_found_in_all_directions(result_of: Callable[..., TaskResult]) -> None:
    result = result_of("avvp")
    assert [row.kind for row in result.directions] == ["transfer"] * 2 + ["same-modality"] * 2
    for row in result.directions:
        assert (row.metric, row.mean, row.std) == ("f1_micro", 100, 0)
        assert {name: other.mean for name, other in row.others.items()} == {
            "f1_macro": 100,
            "precision_micro": 100,
            "recall_micro": 100,
            "f1_segment": 100,
            "f1_event": 100,
        }


@pytest.mark.slow
def test_heads_are_judged_by_the_labels_of_the_target_modality(avvp: Path, tmp_path: Path) -> None:
    """Take all events out of the test clips' video labels: audio -> video finds nothing that is true."""
    silent = copy_of(avvp, tmp_path)
    test = set(names()["test"])
    change_events(
        silent,
        "video",
        lambda row: EventRow(row.filename, (Event("dog", 0, 0),)) if row.filename in test else row,
    )
    scores = {f"{row.source}->{row.target}": row.mean for row in run("avvp", silent).directions}
    assert scores == {"audio->video": 0, "video->audio": 100, "audio->audio": 100, "video->video": 0}


@pytest.mark.slow
def test_held_out_never_sees_the_target_modality_before_the_test(avvp: Path, tmp_path: Path) -> None:
    ruined = copy_of(avvp, tmp_path)
    shared = {name[:11] for name in names()["test"]}
    ruin(ruined / ZIPS, {name[:11] for name in names()["val"]} - shared)
    change_events(
        ruined,
        "audio",
        lambda row: EventRow(row.filename, (Event("bell", 0, 9),)) if row.filename in names()["val"] else row,
    )
    hard = optimize(tiny_localizer().codebooks()["layer0"].numpy(), 2)
    before, after = (
        run("avvp", root, directions=["video->audio"], toc=hard).directions[0] for root in (avvp, ruined)
    )
    # the control renames the codes that occur in any clip read, and no head learns from it
    assert before.shuffled != after.shuffled
    assert before.model_copy(update={"shuffled": after.shuffled}) == after
    assert before.mean < 100


def test_clips_of_a_video_on_both_sides_are_left_out(result_of: Callable[..., TaskResult]) -> None:
    data = result_of("avvp").data
    used = {m: sum(n for name, n in data.counts.items() if name.endswith(m)) for m in ("audio", "video")}
    # two videos are in val and in test; audio lists a test clip twice, video lacks two test clips
    assert used == {"audio": 90 - 2 + 40 - 2 - 1, "video": 90 - 2 + 40 - 2 - 2}
    assert data.dropped["test audio"] == data.dropped["test video"] == 2


@pytest.mark.slow
def test_the_result_is_that_of_a_plain_head_trained_on_the_expanded_codes(avvp: Path) -> None:
    """Encoder, head, loss, epochs and score written once more, for one seed and one direction."""
    model, task = tiny_localizer().eval(), read_task("avvp", avvp)
    selection = optimize(model.codebooks()["layer0"].numpy(), 4)
    keep = sorted(selection.indices)
    assert selection.scores.centered  # then heads see codes less the mean codeword
    origin = model.codebooks()["layer0"].mean(dim=0)
    config = HeadConfig(lr=0.02, epochs=4, batch_size=16, select="last")
    ours = run("avvp", avvp, seeds=(7,), head=config, toc=selection, directions=["video->audio"]).directions[
        0
    ]

    def codes_and_labels(modality: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        rows = np.setdiff1d(task.rows(modality, split), task.shared_rows(modality))
        features = torch.from_numpy(task.features(modality, rows))
        codes = (model.encode(modality, features).codes - origin).detach()[..., keep]
        return codes, torch.from_numpy(task.labels(modality, rows))

    codes, labels = codes_and_labels("video", "train")
    generator = torch.Generator().manual_seed(7)
    head = PlainLocalizer(Heads.initial(4, len(CLASSES) + 1, [generator]), 0)
    optimizer = torch.optim.Adam([*head.parameters(), *head.extra()], lr=0.02)
    for _ in range(4):
        for rows in torch.randperm(len(codes), generator=generator).split(16):
            optimizer.zero_grad()
            head.loss(codes[rows], labels[rows]).backward()
            nn.utils.clip_grad_norm_(head.parameters(), 0.5)
            optimizer.step()
    codes, labels = codes_and_labels("audio", "test")
    said = (head(codes) > 0)[..., :-1].flatten(0, 1).numpy()
    truth = labels[..., :-1].flatten(0, 1).numpy()
    assert ours.mean == pytest.approx(100 * f1_score(truth, said, average="micro"))
    assert ours.others["f1_macro"].mean == pytest.approx(100 * f1_score(truth, said, average="macro"))
    assert 0 < ours.mean < 100


@pytest.mark.slow
def test_the_constant_answer_is_learned_from_the_source_and_judged_on_the_target(
    avvp: Path, tmp_path: Path
) -> None:
    """Other events are frequent in the target's test clips, so that another answer would be best there."""
    copy = copy_of(avvp, tmp_path)
    test = set(names()["test"])
    change_events(
        copy,
        "audio",
        lambda row: EventRow(row.filename, (Event("siren", 0, 4),)) if row.filename in test else row,
    )
    result = run("avvp", copy, directions=["video->audio"], seeds=(0,))
    task = read_task("avvp", copy)
    rows = {
        m: np.setdiff1d(task.rows(m, s), task.shared_rows(m))
        for m, s in (("video", "train"), ("audio", "test"))
    }
    train, truth = (task.labels(m, r)[..., :-1].reshape(-1, len(CLASSES)) for m, r in rows.items())
    answers = [np.array([n >> c & 1 for c in range(len(CLASSES))]) for n in range(1, 8)]

    def score(answer: np.ndarray, labels: np.ndarray) -> float:
        return float(f1_score(labels, np.tile(answer, (len(labels), 1)), average="micro", zero_division=0))

    best = max(answers, key=lambda answer: score(answer, train))
    assert max(score(answer, truth) for answer in answers) > score(best, truth), "the case would not tell"
    assert result.direction("video", "audio").constant == pytest.approx(100 * score(best, truth))
    assert result.chance is None
    assert result.majority is None


@pytest.mark.slow
def test_a_seed_does_not_depend_on_the_others(avvp: Path) -> None:
    hard = optimize(tiny_localizer().codebooks()["layer0"].numpy(), 2)
    together, alone = (
        run("avvp", avvp, seeds=seeds, directions=["video->audio"], toc=hard).directions[0]
        for seeds in ((4, 1, 7), (1,))
    )
    assert len(set(together.per_seed)) > 1
    assert alone.per_seed[0] == together.per_seed[1]
    assert alone.epochs_selected[0] == together.epochs_selected[1]


@pytest.mark.slow
def test_all_dimensions_localize_every_event_and_one_does_not(avvp: Path) -> None:
    codebook = tiny_localizer().codebooks()["layer0"].numpy()
    whole, few = (
        run("avvp", avvp, seeds=(0,), directions=["video->audio"], toc=optimize(codebook, kept)).directions[0]
        for kept in (DIM, 1)
    )
    assert whole.mean == 100 > few.mean


@pytest.mark.parametrize(("protocol", "metric"), [("paper", "precision"), ("paper-f1", "f1")])
def test_the_paper_protocols_use_every_row_and_list_their_leaks(
    result_of: Callable[..., TaskResult], protocol: str, metric: str
) -> None:
    result = result_of("avvp", protocol)
    assert result.data.counts == {"all audio": 132, "all video": 129}
    assert [leak[:3] for leak in result.leaks] == ["P4:", "P3:", "P5:"]
    assert task_class("avvp").protocols[protocol].head != task_class("avvp").protocols["held-out"].head
    assert {row.metric for row in result.directions} == {metric}
    assert {"precision", "recall", "f1"} == {metric, *result.directions[0].others}
    assert min(row.mean for row in result.directions) > 95


@pytest.mark.slow
def test_the_paper_protocols_take_the_epoch_that_is_best_on_the_reported_rows(avvp: Path) -> None:
    """A model whose audio lies elsewhere: while a head learns to read video, it unlearns to guess audio."""
    model = tiny_localizer()
    model.maps["audio"] = nn.Parameter(model.maps["audio"].roll(3, dims=1))

    def reached(epochs: int, select: str) -> tuple[float, float]:
        head = HeadConfig(lr=0.006, batch_size=16, epochs=epochs, select=select)
        pairs = ["video->audio", "video->video"]
        result = evaluate(model, "avvp", avvp, "paper-f1", seeds=(0,), head=head, directions=pairs)
        return result.directions[0].mean, result.directions[1].mean

    epochs = [reached(n, "last") for n in range(1, 4)]
    target, source = (max(values) for values in zip(*epochs, strict=True))
    assert (target, source) not in epochs, "one epoch is the best for both: the case would not tell"
    assert reached(3, "best-val") == (target, source)


def test_a_clip_without_features_is_named(avvp: Path, tmp_path: Path) -> None:
    copy = copy_of(avvp, tmp_path)
    gone = copy / ZIPS / f"{names()['test'][3][:11]}.zip"
    with ZipFile(gone):
        gone.unlink()
    with pytest.raises(InputError, match=gone.name):
        run("avvp", copy)
