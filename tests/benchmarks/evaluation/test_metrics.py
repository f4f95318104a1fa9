"""Measures against loops and scikit-learn, and their intervals: percentiles over tested clips drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
)
from torch import Tensor

from benchmarks.evaluation.localization import LocalizeAsReleased, LocalizeEvents
from benchmarks.evaluation.metrics import (
    average_precision,
    bootstrap_intervals,
    clip_accuracy,
    event_scores,
    mean_and_std,
    released_event_scores,
    resample_weights,
)
from benchmarks.evaluation.objectives import ClassifyClips, Objective
from unicode_cmg.results import Bootstrap

CPU = torch.device("cpu")


def test_accuracy_is_in_percent_and_of_each_head() -> None:
    labels, predictions = torch.tensor([0, 1, 2, 2]), torch.tensor([[0, 1, 2, 0], [0, 1, 2, 2]])
    assert clip_accuracy(predictions, labels).tolist() == [75, 100]
    assert clip_accuracy(predictions, labels)[0] == 100 * accuracy_score(labels, predictions[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 30), st.integers(1, 4))
def test_average_precision_is_that_of_scikit_learn_with_ties_and_resampled_clips(
    seed: int, clips: int, columns: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, size=(2, clips, columns)) / 4  # many ties
    labels = rng.random((clips, columns)) < 0.4
    weights = rng.multinomial(clips, np.full(clips, 1 / clips), size=3).astype(float)
    given_scores, given_labels = torch.from_numpy(scores), torch.from_numpy(labels)
    plain = average_precision(given_scores, given_labels)
    drawn = average_precision(given_scores, given_labels, torch.from_numpy(weights))
    assert drawn.shape == (3, 2, columns)
    for head in range(2):
        for column in range(columns):
            truth, score = labels[:, column], scores[head, :, column]
            for found, weight in ((plain, np.ones(clips)), *zip(drawn, weights, strict=True)):
                value = found[head, column].item()
                if not (weight * truth).any():
                    assert np.isnan(value)
                else:
                    expected = average_precision_score(truth, score, sample_weight=weight)
                    assert value == pytest.approx(expected)


def test_the_constant_class_is_the_most_frequent_one_of_training() -> None:
    constant = ClassifyClips().constant(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 0, 1]))
    assert constant == {"accuracy": 25}


def two_clips() -> tuple[Tensor, Tensor]:
    """One prediction for two clips of two seconds, and labels: dog, bell, siren and background."""
    labels = [[[1, 1, 0, 0], [0, 0, 0, 1]], [[1, 0, 0, 0], [0, 1, 0, 0]]]
    predicted = [[[1, 0, 0, 0], [1, 0, 0, 0]], [[1, 0, 0, 1], [0, 0, 0, 0]]]
    return torch.tensor([predicted]).bool(), torch.tensor(labels).bool()


def test_scores_of_two_clips_are_those_counted_by_hand() -> None:
    # dog: 2 found, 3 claimed, 2 there; bell: none found, none claimed, 2 there; siren: nowhere
    assert {name: value.item() for name, value in event_scores(*two_clips()).items()} == pytest.approx(
        {
            "f1_micro": 100 * 2 * 2 / (3 + 4),
            "f1_macro": 100 * (2 * 2 / (3 + 2) + 0) / 2,
            "precision_micro": 100 * 2 / 3,
            "recall_micro": 100 * 2 / 4,
        }
    )
    # with background: 2 found of 4 claimed, 5 there
    released = {name: value.item() for name, value in released_event_scores(*two_clips()).items()}
    assert released == pytest.approx({"precision": 50, "recall": 40, "f1": 2 * 50 * 40 / 90})


def test_released_scores_are_averages_over_batches_of_eighty_clips() -> None:
    """80 clips with one prediction, right, then 20 with none: the last batch counts as precision 0."""
    labels = torch.zeros(100, 1, 3, dtype=torch.bool)
    labels[:, 0, 0] = True
    predicted = labels[None].clone()
    predicted[:, 80:] = False
    scores = released_event_scores(predicted, labels)
    assert {name: value.item() for name, value in scores.items()} == pytest.approx(
        {"precision": 80, "recall": 80, "f1": 80}
    )


@pytest.mark.parametrize("scores", [event_scores, released_event_scores])
def test_saying_nothing_scores_zero(scores) -> None:
    labels = torch.ones(2, 3, 4, dtype=torch.bool)
    assert {v.item() for v in scores(torch.zeros_like(labels)[None], labels).values()} == {0.0}
    nothing = torch.zeros_like(labels)
    assert {v.item() for v in scores(nothing[None], nothing).values()} == {0.0}


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_event_scores_equal_scikit_learns(seed: int, density: float) -> None:
    g = torch.Generator().manual_seed(seed)
    predicted, labels = (torch.rand(n, 7, 5, 4, generator=g) < density for n in (2, 1))
    scores = event_scores(predicted, labels[0])
    truth = labels[0, ..., :-1].flatten(0, 1).numpy()
    for head in range(2):
        said = predicted[head, ..., :-1].flatten(0, 1).numpy()
        expected = {
            "f1_micro": f1_score(truth, said, average="micro", zero_division=0.0),
            "f1_macro": f1_score(truth, said, average="macro", zero_division=np.nan)
            if (truth | said).any()
            else 0,
            "precision_micro": precision_score(truth, said, average="micro", zero_division=0.0),
            "recall_micro": recall_score(truth, said, average="micro", zero_division=0.0),
        }
        assert {name: v[head].item() / 100 for name, v in scores.items()} == pytest.approx(expected)


def test_the_constant_answer_is_the_best_on_the_training_labels() -> None:
    """Every set of columns is tried; the answer is judged on other labels than those that chose it."""
    g = torch.Generator().manual_seed(0)
    rates = torch.tensor([0.6, 0.1, 0.3, 0.2])
    train, test = ((torch.rand(40, 5, 4, generator=g) < rates).float() for _ in range(2))
    for objective in (LocalizeEvents(), LocalizeAsReleased("precision")):
        constant = objective.constant(train, test)
        for name, value in constant.items():
            answers = [torch.tensor([n >> c & 1 for c in range(4)]).float() for n in range(1, 16)]
            on = {
                split: [objective.judge(a.expand(40, 5, 4)[None] - 0.5, labels)[name].item() for a in answers]
                for split, labels in (("train", train), ("test", test))
            }
            best = max(on["train"])
            reached = {round(v, 6) for v, t in zip(on["test"], on["train"], strict=True) if t == best}
            assert round(value, 6) in reached, name


def test_one_value_has_no_deviation() -> None:
    assert mean_and_std([3.0]) == (3.0, None)
    mean, std = mean_and_std([1.0, 3.0])
    assert (mean, std) == (2.0, pytest.approx(2**0.5))


def events(seed: int, clips: int = 12) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, clips, 5, 4, generator=g), (torch.rand(clips, 5, 4, generator=g) < 0.3).float()


@pytest.mark.parametrize(
    ("objective", "case"),
    [
        (LocalizeEvents(), events(0)),
        (ClassifyClips(), (torch.randn(3, 12, 4, generator=torch.manual_seed(0)), torch.arange(12) % 4)),
    ],
)
def test_measures_of_a_resample_are_those_of_its_clips_one_by_one(
    objective: Objective, case: tuple[Tensor, Tensor]
) -> None:
    logits, labels = case
    weights = torch.cat(list(resample_weights(Bootstrap(resamples=6), 12)))
    resampled = objective.judge(logits, labels, weights)
    for k, row in enumerate(weights):
        clips = torch.repeat_interleave(torch.arange(12), row.long())
        expected = objective.judge(logits[:, clips], labels[clips])
        assert set(resampled) == set(expected)
        for name, values in expected.items():
            torch.testing.assert_close(resampled[name][k], values)


def test_every_resample_has_as_many_clips_as_there_are() -> None:
    weights = torch.cat(list(resample_weights(Bootstrap(resamples=50), 7)))
    assert weights.shape == (50, 7)
    assert (weights.sum(dim=1) == 7).all()
    assert len(weights.unique(dim=0)) > 45
    assert not torch.equal(weights, torch.cat(list(resample_weights(Bootstrap(resamples=50, seed=1), 7))))


def test_resamples_come_in_parts_when_there_are_many_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.cat(list(resample_weights(Bootstrap(resamples=10), 6)))
    monkeypatch.setattr("benchmarks.evaluation.metrics._WEIGHTS_AT_ONCE", 20)
    parts = list(resample_weights(Bootstrap(resamples=10), 6))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_interval_is_that_of_scipy() -> None:
    """Other random numbers, the same distribution: the mean over two heads of the share of right clips."""
    g = torch.Generator().manual_seed(3)
    right = torch.rand(2, 300, generator=g) < 0.7
    ours = bootstrap_intervals(
        Bootstrap(resamples=4000),
        300,
        lambda w: {"x": torch.stack([w @ head.double() / 3 for head in right], dim=1)},
        CPU,
    )["x"]
    theirs = bootstrap(
        (100 * right.double().mean(dim=0).numpy(),),
        np.mean,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.35)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    g, held = torch.Generator().manual_seed(5), 0
    for _ in range(200):
        values = torch.rand(1, 80, generator=g, dtype=torch.float64)
        how = Bootstrap(resamples=300)
        low, high = bootstrap_intervals(how, 80, lambda w, v=values: {"x": w @ v.T / 80}, CPU)["x"]
        held += low <= 0.5 <= high
    assert 180 <= held <= 199


def test_averages_over_batches_have_no_interval() -> None:
    logits, labels = events(1)
    weights = next(resample_weights(Bootstrap(resamples=3), 12))
    assert LocalizeAsReleased("f1").judge(logits, labels, weights) == {}
