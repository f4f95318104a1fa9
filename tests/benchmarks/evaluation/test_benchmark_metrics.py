from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from benchmarks.evaluation.localization import LocalizeAsReleased, LocalizeEvents
from benchmarks.evaluation.metrics import clip_accuracy, event_scores, mean_and_std, released_event_scores
from benchmarks.evaluation.objectives import ClassifyClips


def test_accuracy_is_in_percent_and_of_each_head() -> None:
    labels, predictions = torch.tensor([0, 1, 2, 2]), torch.tensor([[0, 1, 2, 0], [0, 1, 2, 2]])
    assert clip_accuracy(predictions, labels).tolist() == [75, 100]
    assert clip_accuracy(predictions, labels)[0] == 100 * accuracy_score(labels, predictions[0])


def test_the_constant_class_is_the_most_frequent_one_of_training() -> None:
    constant = ClassifyClips().constant(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 0, 1]))
    assert constant == {"accuracy": 25}


def two_clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Two clips of two seconds: labels and one prediction over dog, bell, siren and background."""
    labels = [[[1, 1, 0, 0], [0, 0, 0, 1]], [[1, 0, 0, 0], [0, 1, 0, 0]]]
    predicted = [[[1, 0, 0, 0], [1, 0, 0, 0]], [[1, 0, 0, 1], [0, 0, 0, 0]]]
    return torch.tensor([predicted]).bool(), torch.tensor(labels).bool()


def test_event_scores_of_two_clips_are_those_counted_by_hand() -> None:
    scores = event_scores(*two_clips())
    # dog: 2 found, 3 claimed, 2 there; bell: none found, none claimed, 2 there; siren: nowhere
    assert scores["f1_micro"].item() == pytest.approx(100 * 2 * 2 / (3 + 4))
    assert scores["f1_macro"].item() == pytest.approx(100 * (2 * 2 / (3 + 2) + 0) / 2)
    assert scores["precision_micro"].item() == pytest.approx(100 * 2 / 3)
    assert scores["recall_micro"].item() == pytest.approx(100 * 2 / 4)


def test_released_scores_of_two_clips_are_those_counted_by_hand() -> None:
    scores = released_event_scores(*two_clips())
    # with background: 2 found of 4 claimed, 5 there
    assert scores["precision"].item() == pytest.approx(50)
    assert scores["recall"].item() == pytest.approx(40)
    assert scores["f1"].item() == pytest.approx(2 * 50 * 40 / 90)


def test_released_scores_are_averages_over_batches_of_eighty_clips() -> None:
    """80 clips with one prediction, right, then 20 with none: the last batch counts as precision 0."""
    labels = torch.zeros(100, 1, 3, dtype=torch.bool)
    labels[:, 0, 0] = True
    predicted = labels[None].clone()
    predicted[:, 80:] = False
    scores = released_event_scores(predicted, labels)
    assert scores["precision"].item() == pytest.approx(80)
    assert scores["recall"].item() == pytest.approx(80)


@pytest.mark.parametrize("scores", [event_scores, released_event_scores])
def test_saying_nothing_scores_zero(scores) -> None:
    labels = torch.ones(2, 3, 4, dtype=torch.bool)
    assert {v.item() for v in scores(torch.zeros_like(labels)[None], labels).values()} == {0.0}
    nothing = torch.zeros_like(labels)
    assert {v.item() for v in scores(nothing[None], nothing).values()} == {0.0}


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
