"""Intervals: the percentiles of the mean over heads when tested clips are drawn with replacement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from torch import Tensor

from benchmarks import HeadConfig, evaluate
from benchmarks.evaluation.localization import LocalizeAsReleased, LocalizeEvents
from benchmarks.evaluation.metrics import bootstrap_intervals, clip_accuracy, resample_weights
from benchmarks.evaluation.objectives import ClassifyClips
from benchmarks.evaluation.video_parsing import match_events, match_segments
from unicode_cmg.results import Bootstrap

CPU = torch.device("cpu")


def drawn(weights: Tensor) -> list[Tensor]:
    """The clips of each resample, one by one."""
    return [torch.repeat_interleave(torch.arange(len(row)), row.long()) for row in weights]


def events(seed: int, clips: int = 12) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, clips, 5, 4, generator=g), (torch.rand(clips, 5, 4, generator=g) < 0.3).float()


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


def test_measures_of_a_resample_are_those_of_its_clips_one_by_one() -> None:
    logits, labels = events(0)
    weights = torch.cat(list(resample_weights(Bootstrap(resamples=6), 12)))
    resampled = LocalizeEvents().judge(logits, labels, weights)
    for k, rows in enumerate(drawn(weights)):
        expected = LocalizeEvents().judge(logits[:, rows], labels[rows])
        for name, values in expected.items():
            torch.testing.assert_close(resampled[name][k], values)
    assert set(resampled) == set(expected)


def test_the_accuracy_of_a_resample_is_that_of_its_clips_one_by_one() -> None:
    logits, labels = torch.randn(3, 20, 4), torch.arange(20) % 4
    weights = torch.cat(list(resample_weights(Bootstrap(resamples=5), 20)))
    resampled = ClassifyClips().judge(logits, labels, weights)["accuracy"]
    expected = [clip_accuracy(logits[:, rows].argmax(-1), labels[rows]) for rows in drawn(weights)]
    torch.testing.assert_close(resampled, torch.stack(expected))


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
    g = torch.Generator().manual_seed(5)
    held = 0
    for _ in range(200):
        values = torch.rand(1, 80, generator=g, dtype=torch.float64)
        low, high = bootstrap_intervals(
            Bootstrap(resamples=300), 80, lambda w, v=values: {"x": w @ v.T / 80}, CPU
        )["x"]
        held += low <= 0.5 <= high
    assert 180 <= held <= 199


def test_averages_over_batches_have_no_interval() -> None:
    logits, labels = events(1)
    weights = next(resample_weights(Bootstrap(resamples=3), 12))
    assert LocalizeAsReleased("f1").judge(logits, labels, weights) == {}


def test_held_out_results_have_intervals_and_paper_results_none(ave: Path) -> None:
    from tiny_ave import tiny_model

    head = HeadConfig(lr=0.02, epochs=2, batch_size=16)
    clean, leaky = (
        evaluate(tiny_model(), "ave", ave, protocol, head=head, directions=["video->audio"])
        for protocol in ("held-out", "paper")
    )
    row = clean.directions[0]
    assert row.interval is not None
    assert row.interval[0] <= row.mean <= row.interval[1]
    assert clean.bootstrap == Bootstrap()
    assert (leaky.directions[0].interval, leaky.bootstrap) == (None, None)
    assert f"{row.interval[0]:.1f} to {row.interval[1]:.1f}" in clean.table()


def test_clip_scores_are_resampled_as_means() -> None:
    logits, labels = events(2)
    weights = next(resample_weights(Bootstrap(resamples=4), 12))
    resampled = LocalizeEvents().judge(logits, labels, weights)
    for name, match in (("f1_segment", match_segments), ("f1_event", match_events)):
        of_clips = match((logits > 0)[..., :-1], (labels > 0)[..., :-1]).clip_f1()
        torch.testing.assert_close(resampled[name], 100 * weights @ of_clips.T / 12)
