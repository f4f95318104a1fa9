"""The `paper` protocols print what the released scripts print, given the same logits.

The scripts' arithmetic is written here once more, as docs/results/protocols.md describes it: loops over
batches of 80 clips and a running average, in float64.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluation.fitting import fit_heads, head_logits
from benchmarks.evaluation.heads import LabelledCodes
from benchmarks.evaluation.localization import LocalizeAsReleased
from benchmarks.evaluation.objectives import ClassifyClips
from benchmarks.evaluation.ranking import released_ranks
from unicode_cmg.results import HeadConfig

BATCH = 80


class RunningAverage:
    """Of values that count as often as they are told to."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, value: float, count: int) -> None:
        self.total += value * count
        self.count += count

    @property
    def average(self) -> float:
        return self.total / self.count


def script_events(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """One evaluation epoch of AVVP; logits and labels are `[clips, seconds, classes and background]`."""
    precision, recall = RunningAverage(), RunningAverage()
    for start in range(0, len(logits), BATCH):
        z, y = (
            values[start : start + BATCH].reshape(-1, values.shape[-1]).astype(np.float64)
            for values in (logits, labels)
        )
        said = 1 / (1 + np.exp(-z)) > 0.5
        right = (said * y).sum()
        if said.sum() == 0:
            batch_precision = batch_recall = 0.0
        else:
            batch_precision, batch_recall = right / said.sum(), right / y.sum()
        seconds = len(logits[start : start + BATCH]) * logits.shape[1]
        precision.update(batch_precision, seconds)
        recall.update(batch_recall, seconds)
    p, r = precision.average, recall.average
    return {"precision": 100 * p, "recall": 100 * r, "f1": 100 * 2 * p * r / (p + r) if p + r else 0.0}


def script_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """One evaluation epoch of AVE or UCF101 <-> VGGSound."""
    accuracy = RunningAverage()
    for start in range(0, len(logits), BATCH):
        z, y = logits[start : start + BATCH], labels[start : start + BATCH]
        accuracy.update(100.0 * float((z.argmax(axis=1) == y).mean()), len(y))
    return accuracy.average


def events(seed: int, clips: int, bias: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of two heads, and labels with background."""
    g = torch.Generator().manual_seed(seed)
    present = torch.rand(clips, 10, 6, generator=g) < 0.15
    labels = torch.cat([present, ~present.any(dim=-1, keepdim=True)], dim=-1).float()
    return torch.randn(2, clips, 10, 7, generator=g) + bias + labels, labels


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1, 79, 80, 81, 200]), st.sampled_from([-9.0, -2.0, 0.0, 2.0]))
def test_event_scores_are_the_scripts_to_the_last_digits(seed: int, clips: int, bias: float) -> None:
    logits, labels = events(seed, clips, bias)
    for metric in ("precision", "f1"):
        measures = LocalizeAsReleased(metric).judge(logits, labels)
        assert next(iter(measures)) == metric
        for head in range(2):
            expected = script_events(logits[head].numpy(), labels.numpy())
            assert {n: v[head].item() for n, v in measures.items()} == pytest.approx(expected, abs=1e-9)


def test_a_batch_in_which_nothing_is_said_pulls_precision_down() -> None:
    logits, labels = events(1, 100, 0.0)
    logits[:, 80:] = -1
    measures = LocalizeAsReleased("precision").judge(logits, labels)
    alone = LocalizeAsReleased("precision").judge(logits[:, :80], labels[:80])
    torch.testing.assert_close(measures["precision"], 0.8 * alone["precision"])
    expected = script_events(logits[0].numpy(), labels.numpy())
    assert measures["f1"][0].item() == pytest.approx(expected["f1"], abs=1e-9)


def test_background_is_a_class_of_the_released_scores() -> None:
    logits, labels = events(2, 90, -3.0)
    logits[..., -1] = 5 * labels[..., -1] - 2.5
    measures = LocalizeAsReleased("f1").judge(logits, labels)
    logits[..., -1] = -1
    assert (measures["f1"] > LocalizeAsReleased("f1").judge(logits, labels)["f1"] + 5).all()


@pytest.mark.parametrize("clips", [1, 80, 130])
def test_accuracy_is_the_scripts(clips: int) -> None:
    g = torch.Generator().manual_seed(clips)
    logits, labels = torch.randn(2, clips, 5, generator=g), torch.randint(5, (clips,), generator=g)
    accuracy = ClassifyClips().judge(logits, labels)["accuracy"]
    for head in range(2):
        expected = script_accuracy(logits[head].numpy(), labels.numpy())
        assert accuracy[head].item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["precision", "f1"])
def test_the_epoch_is_the_best_on_the_reported_clips(metric: str) -> None:
    """Every epoch is run anew and scored by the script; the protocol's choice reaches the best of them.

    What is reported has labels that nobody can learn, so that later epochs are no better than early ones.
    """
    g = torch.Generator().manual_seed(4)
    table = torch.randn(9, 6, generator=g)
    indices = torch.randint(9, (100, 10, 1), generator=g)
    present = torch.stack([indices[..., 0] == c for c in range(3)], dim=-1)
    present ^= torch.rand(present.shape, generator=g) < 0.2
    labels = torch.cat([present, ~present.any(dim=-1, keepdim=True)], dim=-1).float()
    clips = LabelledCodes((table,), indices, labels)
    reported = LabelledCodes((table,), indices, labels[torch.randperm(100, generator=g)])
    objective = LocalizeAsReleased(metric)

    def reached(epochs: int, select: str) -> dict[str, float]:
        config = HeadConfig(lr=0.2, epochs=epochs, batch_size=20, select=select)
        fitted = fit_heads(clips, {"x": reported}, objective=objective, classes=3, seeds=(0,), config=config)
        logits = head_logits(objective, fitted["x"].heads, reported)
        return script_events(logits[0].numpy(), reported.labels.numpy())

    by_epoch = [reached(n, "last")[metric] for n in range(1, 7)]
    assert by_epoch.index(max(by_epoch)) != 5, "the last epoch is the best: the case would not tell"
    assert reached(6, "best-val")[metric] == pytest.approx(max(by_epoch), abs=1e-9)


def script_ranks(queries: np.ndarray, captions: np.ndarray, captions_per_item: list[int]) -> list[int]:
    """Item -> caption: the best place of its captions, from the sort of the script."""
    ranks, start = [], 0
    for count in captions_per_item:
        one = torch.nn.functional.normalize(torch.from_numpy(queries[start : start + 1]), dim=1)
        scores = (one @ torch.nn.functional.normalize(torch.from_numpy(captions), dim=1).T)[0].numpy()
        order = np.argsort(scores)[::-1]
        ranks.append(min(int(np.where(order == start + i)[0][0]) for i in range(count)))
        start += count
    return ranks


@pytest.mark.parametrize("seed", range(5))
def test_retrieval_ranks_are_the_scripts_with_ties_and_all(seed: int) -> None:
    """Vectors come from eight codes only; the script has that of an item once for each of its captions."""
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(8, 6)).astype(np.float32)
    counts = rng.integers(1, 6, 30).tolist()
    item_codes, caption_codes = rng.integers(0, 8, 30), rng.integers(0, 8, sum(counts))
    about = np.repeat(np.arange(30), counts)
    expected = script_ranks(codes[item_codes[about]], codes[caption_codes], counts)
    ours = released_ranks(codes[item_codes], codes[caption_codes], np.arange(30), about)
    assert ours.tolist() == expected
    back = released_ranks(codes[caption_codes], codes[item_codes], about, np.arange(30))
    gallery = torch.nn.functional.normalize(torch.from_numpy(codes[item_codes]), dim=1)
    for item in range(30):
        rows = np.flatnonzero(about == item)
        asked = torch.nn.functional.normalize(torch.from_numpy(codes[caption_codes[rows]]), dim=1)
        for row, values in zip(rows, (asked @ gallery.T).numpy(), strict=True):
            assert back[row] == np.where(np.argsort(values)[::-1] == item)[0][0]
