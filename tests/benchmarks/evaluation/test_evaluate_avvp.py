"""Event localization on the AVVP layout, from folder to result."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from head_cases import PlainLocalizer
from sklearn.metrics import f1_score
from tiny_avvp import CLASSES, DIM, names, tiny_localizer
from torch import nn

from benchmarks import HeadConfig, TaskResult, available_protocols, evaluate
from benchmarks.evaluation.heads import Heads
from benchmarks.tasks import read_task, resolve_protocol
from toc import optimize
from unicode_cmg.data.layouts.avvp import Event, EventRow, read_avvp, write_events
from unicode_cmg.data.layouts.zips import read_clip, write_clip
from unicode_cmg.errors import InputError

FAST = HeadConfig(lr=0.03, epochs=8, batch_size=16)


def run(avvp: Path, protocol: str = "held-out", **options: object) -> TaskResult:
    return evaluate(tiny_localizer(), "avvp", avvp, protocol, **{"head": FAST, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def result(avvp: Path) -> TaskResult:
    """Held-out, all directions, all dimensions."""
    return run(avvp)


def copy_of(avvp: Path, to: Path) -> Path:
    return Path(shutil.copytree(avvp, to / "copy"))


def change_events(root: Path, modality: str, edit: Callable[[EventRow], EventRow]) -> None:
    """Rewrite the table of one modality."""
    rows = dict(read_avvp(root / "AVVP").rows)
    rows[modality] = tuple(edit(row) for row in rows[modality])
    write_events(root / "AVVP" / "data", "AVVP", rows, {"_checked_combined": "\t"})


def ruin_features(root: Path, modality: str, clips: list[str]) -> None:
    for name in clips:
        file = root / "AVVP" / "feature" / modality / "zip" / f"{name[:11]}.zip"
        write_clip(file, np.full_like(read_clip(file), 3.0))


def test_planted_events_are_found_in_all_directions(result: TaskResult) -> None:
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


def test_renaming_the_codes_of_the_target_brings_f1_down_to_that_of_a_constant_answer(avvp: Path) -> None:
    seeds = tuple(range(8))
    control = run(avvp, seeds=seeds, permute_codes_seed=3)
    transfers = [row for row in control.directions if row.kind == "transfer"]
    constant = statistics.fmean(row.constant for row in transfers if row.constant is not None)
    assert statistics.fmean(row.mean for row in transfers) < constant + 10 < 50
    assert all(row.mean == 100 for row in control.directions if row.kind == "same-modality")


def test_heads_are_judged_by_the_labels_of_the_target_modality(avvp: Path, tmp_path: Path) -> None:
    """Take all events out of the test clips' video labels: audio -> video finds nothing that is true."""
    silent = copy_of(avvp, tmp_path)
    test = set(names()["test"])
    change_events(
        silent,
        "video",
        lambda row: EventRow(row.filename, (Event("dog", 0, 0),)) if row.filename in test else row,
    )
    scores = {f"{row.source}->{row.target}": row.mean for row in run(silent).directions}
    assert scores == {"audio->video": 0, "video->audio": 100, "audio->audio": 100, "video->video": 0}


def test_held_out_never_sees_the_target_modality_before_the_test(avvp: Path, tmp_path: Path) -> None:
    ruined = copy_of(avvp, tmp_path)
    shared = {name[:11] for name in names()["test"]}
    ruin_features(ruined, "audio", [name for name in names()["val"] if name[:11] not in shared])
    change_events(
        ruined,
        "audio",
        lambda row: EventRow(row.filename, (Event("bell", 0, 9),)) if row.filename in names()["val"] else row,
    )
    hard = optimize(tiny_localizer().codebooks()["layer0"].numpy(), 2)
    before, after = (run(root, directions=["video->audio"], toc=hard).directions for root in (avvp, ruined))
    assert before == after
    assert before[0].mean < 100


def test_the_encoder_sees_each_needed_clip_once_and_test_clips_of_no_other_video(avvp: Path) -> None:
    model = tiny_localizer()
    result = evaluate(model, "avvp", avvp, head=FAST)
    clips = {m: sum(n for name, n, *_ in model.encoded if name == m) for m in model.modalities}
    used = {m: sum(n for name, n in result.data.counts.items() if name.endswith(m)) for m in clips}
    assert clips == used
    # two videos are in val and in test; audio lists a test clip twice, video lacks two test clips
    assert used == {"audio": 90 - 2 + 40 - 2 - 1, "video": 90 - 2 + 40 - 2 - 2}
    assert result.data.dropped["test audio"] == result.data.dropped["test video"] == 2
    assert not any(training or gradient for *_, training, gradient in model.encoded)


def test_the_result_is_that_of_a_plain_head_trained_on_the_expanded_codes(avvp: Path) -> None:
    """Encoder, head, loss, epochs and score written once more, for one seed and one direction."""
    model, task = tiny_localizer().eval(), read_task("avvp", avvp)
    selection = optimize(model.codebooks()["layer0"].numpy(), 4)
    keep = sorted(selection.indices)
    config = HeadConfig(lr=0.02, epochs=4, batch_size=16, select="last")
    ours = run(avvp, seeds=(7,), head=config, toc=selection, directions=["video->audio"]).directions[0]

    def codes_and_labels(modality: str, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        rows = np.setdiff1d(task.rows(modality, split), task.shared_rows(modality))
        features = torch.from_numpy(task.features(modality, rows))
        return model.encode(modality, features).codes.detach()[..., keep], torch.from_numpy(
            task.labels(modality, rows)
        )

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
    result = run(copy, directions=["video->audio"], seeds=(0,))
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


def test_a_seed_does_not_depend_on_the_others(avvp: Path) -> None:
    hard = optimize(tiny_localizer().codebooks()["layer0"].numpy(), 2)
    options = {"directions": ["video->audio"], "toc": hard}
    together = run(avvp, seeds=(4, 1, 7), **options).directions[0]
    alone = run(avvp, seeds=(1,), **options).directions[0]
    assert len(set(together.per_seed)) > 1
    assert alone.per_seed[0] == together.per_seed[1]
    assert alone.epochs_selected[0] == together.epochs_selected[1]


@pytest.mark.parametrize(("protocol", "metric"), [("paper", "precision"), ("paper-f1", "f1")])
def test_the_paper_protocols_use_every_row_and_list_their_leaks(
    avvp: Path, protocol: str, metric: str
) -> None:
    result = run(avvp, protocol)
    assert result.data.counts == {"all audio": 132, "all video": 129}
    assert [leak[:3] for leak in result.leaks] == ["P4:", "P3:", "P5:"]
    assert all(leak in result.table() for leak in result.leaks)
    assert {row.metric for row in result.directions} == {metric}
    assert {"precision", "recall", "f1"} == {metric, *result.directions[0].others}
    assert min(row.mean for row in result.directions) > 95


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


def test_the_protocols_are_listed_and_each_has_its_own_head(avvp: Path) -> None:
    assert available_protocols("avvp") == ("held-out", "paper", "paper-f1")
    result = evaluate(tiny_localizer(), "avvp", avvp, "paper", seeds=(0,), directions=["video->video"])
    assert result.head == resolve_protocol("paper", "avvp").head != resolve_protocol("held-out", "avvp").head


def test_results_come_back_from_json(result: TaskResult) -> None:
    text = json.dumps(result.to_json(), allow_nan=False)
    assert TaskResult.from_json(json.loads(text)) == result


def test_the_table_shows_every_measure_and_the_constant_answer(result: TaskResult) -> None:
    header, _, row, *_ = [line for line in result.table().splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")[1:-1]] == [
        *("direction", "f1 micro %", "std", "95 % interval", "f1 macro %", "precision micro %"),
        *("recall micro %", "f1 segment %", "f1 event %", "constant %", "kind"),
    ]
    assert f" {result.directions[0].constant:.1f} " in row
    assert len(row) == len(header)


def test_toc_and_avvp_go_together(avvp: Path) -> None:
    codebook = tiny_localizer().codebooks()["layer0"].numpy()
    options = {"directions": ["video->audio"], "seeds": (0,)}
    whole, few = (run(avvp, toc=optimize(codebook, n), **options) for n in (DIM, 1))
    assert whole.directions[0].mean == 100 > few.directions[0].mean


def test_a_clip_without_features_is_named(avvp: Path, tmp_path: Path) -> None:
    copy = copy_of(avvp, tmp_path)
    gone = copy / "AVVP" / "feature" / "audio" / "zip" / f"{names()['test'][3][:11]}.zip"
    with ZipFile(gone):
        gone.unlink()
    with pytest.raises(InputError, match=gone.name):
        run(copy)


def test_a_protocol_of_another_task_is_refused(avvp: Path) -> None:
    with pytest.raises(InputError, match="task ave: unknown protocol 'paper-f1'"):
        evaluate(tiny_localizer(), "ave", avvp, "paper-f1")
