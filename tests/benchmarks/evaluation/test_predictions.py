"""What a result keeps class by class: by hand, and from small evaluations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny_ave import CLASSES

from benchmarks import TaskResult
from benchmarks.evaluation.predictions import TIMELINES, clip_details, events_of, second_details
from benchmarks.tasks import read_task
from unicode_cmg.results import ClipDetails, Event, SecondDetails


def test_confusion_counts_are_summed_over_heads() -> None:
    said = torch.tensor([[0, 1, 1, 2], [0, 0, 1, 2]])
    details = clip_details(said, torch.tensor([0, 0, 1, 1]), 4)
    assert details.confusion == ((3, 1, 0, 0), (0, 2, 2, 0), (0, 0, 0, 0), (0, 0, 0, 0))
    assert details.by_class == (75.0, 50.0, None, None)


def test_f1_of_a_class_is_counted_over_seconds_and_averaged_over_heads() -> None:
    true = torch.zeros(2, 3, 4, dtype=torch.bool)
    true[0, :2, 0] = True
    said = torch.zeros(2, 2, 3, 4, dtype=torch.bool)
    said[0, 0, 1:, 0] = True  # one of two found, one false: F1 50 %
    said[1, 0, :2, 0] = True
    said[1, 1, 0, 2] = True  # not there: F1 0 %
    details = second_details(said, true, ["a", "b"])
    assert details.present == (2, 0, 0, 0)
    assert details.by_class == (75.0, None, 0.0, None)
    (timeline,) = details.timelines  # the other clip has no event
    assert timeline.clip == "a"
    assert (timeline.true, timeline.said) == ((Event(0, 0, 2),), (Event(0, 1, 3),))


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 4))))
def test_events_are_the_unbroken_runs(active: np.ndarray) -> None:
    again = np.zeros_like(active)
    for number, start, stop in events_of(active):
        assert start < stop
        assert not again[start:stop, number].any()
        assert start == 0 or not active[start - 1, number]
        assert stop == len(active) or not active[stop, number]
        again[start:stop, number] = True
    np.testing.assert_array_equal(again, active)


def test_clips_on_the_timelines_are_evenly_spread() -> None:
    true = torch.zeros(40, 10, 2, dtype=torch.bool)
    true[2:, 4, 1] = True
    said = torch.zeros(1, 40, 10, 2, dtype=torch.bool)
    details = second_details(said, true, [str(k) for k in range(40)])
    rows = [int(t.clip) for t in details.timelines]
    assert len(rows) == TIMELINES
    assert (rows[0], rows[-1]) == (2, 39)
    assert set(np.diff(rows)) <= {7, 8}
    said[0, 5] = True
    assert [int(t.clip) for t in second_details(said, true, [str(k) for k in range(40)]).timelines] == rows


def test_no_clip_has_an_event() -> None:
    nothing = torch.zeros(3, 10, 2, dtype=torch.bool)
    assert second_details(nothing[None], nothing, ["a", "b", "c"]).timelines == ()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["held-out", "paper"])
def test_accuracy_follows_from_the_confusion_matrix(
    result_of: Callable[..., TaskResult], protocol: str
) -> None:
    result = result_of("ave", protocol)
    reported = result.data.counts["test" if protocol == "held-out" else "train"]
    for row in result.directions:
        assert isinstance(row.details, ClipDetails)
        counts = np.array(row.details.confusion)
        assert counts.shape == (len(CLASSES), len(CLASSES))
        assert counts.sum() == reported * len(result.seeds)
        assert 100 * np.trace(counts) / counts.sum() == pytest.approx(row.mean)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["held-out", "paper", "paper-f1"])
def test_macro_f1_follows_from_the_classes(
    avvp: Path, result_of: Callable[..., TaskResult], protocol: str
) -> None:
    result = result_of("avvp", protocol)
    task = read_task("avvp", avvp)
    for row in result.directions:
        assert isinstance(row.details, SecondDetails)
        known = [value for value in row.details.by_class if value is not None]
        if protocol == "held-out":
            assert np.mean(known) == pytest.approx(row.others["f1_macro"].mean)
        clips = task.names(row.target)
        assert row.details.timelines
        for timeline in row.details.timelines:
            rows = np.flatnonzero(np.array(clips) == timeline.clip)  # a clip may be listed twice
            listed = [events_of(labels[:, :-1] > 0) for labels in task.labels(row.target, rows)]
            assert timeline.true in listed


def test_a_result_with_28_classes_and_three_modalities_stays_small() -> None:
    generator = torch.Generator().manual_seed(0)
    true, said = (torch.randint(28, shape, generator=generator) for shape in ((402,), (3, 402)))
    one = json.dumps(clip_details(said, true, 28).model_dump(mode="json"), indent=10)
    assert 9 * len(one) < 300_000
