"""F1 of video parsing, against loops written from its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.evaluation.video_parsing import match_events, match_segments, parsing_f1


def spans(row: np.ndarray) -> list[tuple[int, int]]:
    """First second and the one after the last, of each unbroken run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def iou(first: tuple[int, int], second: tuple[int, int]) -> float:
    seconds = [set(range(*span)) for span in (first, second)]
    return len(seconds[0] & seconds[1]) / len(seconds[0] | seconds[1])


def counts(said: np.ndarray, true: np.ndarray, unit: str) -> tuple[int, int, int]:
    """Right, too much and missed, of one class."""
    if unit == "segment":
        return int((said & true).sum()), int((said & ~true).sum()), int((~said & true).sum())
    right = sum(any(iou(s, t) >= 0.5 for t in spans(true)) for s in spans(said))
    missed = sum(not any(iou(s, t) >= 0.5 for s in spans(said)) for t in spans(true))
    return right, len(spans(said)) - right, missed


def plain_f1(pairs: list[tuple[np.ndarray, np.ndarray]], unit: str) -> float:
    """The score of one clip; `pairs` are what is said and true of each modality, `[time, classes]`."""
    scores = []
    for c in range(pairs[0][0].shape[1]):
        right, extra, missed = (
            sum(values) for values in zip(*(counts(s[:, c], t[:, c], unit) for s, t in pairs), strict=True)
        )
        if right + extra + missed:
            scores.append(2 * right / (2 * right + extra + missed))
    return sum(scores) / len(scores) if scores else 1.0


def clip(*classes: str) -> Tensor:
    """One clip; a string of a class has an x for each second of it."""
    return torch.tensor([[letter == "x" for letter in seconds] for seconds in classes]).T


def draw(seed: int, *shape: int, density: float) -> Tensor:
    """Runs of some length rather than noise."""
    g = torch.Generator().manual_seed(seed)
    noise = torch.rand(*shape, generator=g)
    return (noise + noise.roll(1, dims=-2)) / 2 < density


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.05, 0.7), st.integers(1, 11))
def test_one_modality_scores_as_the_loops_say(seed: int, density: float, time: int) -> None:
    said, true = (
        draw(seed, 2, 3, time, 3, density=density),
        draw(seed + 1, 1, 3, time, 3, density=density)[0],
    )
    for unit, match in (("segment", match_segments), ("event", match_events)):
        ours = match(said, true).clip_f1()
        for head in range(2):
            for row in range(3):
                expected = plain_f1([(said[head, row].numpy(), true[row].numpy())], unit)
                assert ours[head, row].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.1, 0.7))
def test_two_modalities_score_as_the_loops_say(seed: int, density: float) -> None:
    said = [draw(seed + k, 1, 4, 10, 3, density=density) for k in range(2)]
    true = [draw(seed + k, 4, 10, 3, density=density) for k in range(2, 4)]
    ours = parsing_f1(("audio", "video"), said, true)
    for row in range(4):
        pairs = [(s[0, row].numpy(), t[row].numpy()) for s, t in zip(said, true, strict=True)]
        both = (pairs[0][0] & pairs[1][0], pairs[0][1] & pairs[1][1])
        for unit in ("segment", "event"):
            expected = {
                f"{unit} audio": plain_f1(pairs[:1], unit),
                f"{unit} video": plain_f1(pairs[1:], unit),
                f"{unit} both": plain_f1([both], unit),
                f"{unit} all": plain_f1(pairs, unit),
            }
            expected[f"{unit} type"] = sum(expected[f"{unit} {m}"] for m in ("audio", "video", "both")) / 3
            for name, value in expected.items():
                assert ours[name][0, row].item() == pytest.approx(value, abs=1e-12), name


def test_a_clip_is_scored_as_counted_by_hand() -> None:
    true = clip("xxxx....xx", "..........", "xx........")
    said = clip("xx......xx", ".....x....", "..........")
    # first class: 4 of 6 seconds found, none too much; second: one second too much; third: two missed
    segments = match_segments(said[None, None], true[None])
    assert segments.clip_f1().item() == pytest.approx((2 * 4 / (4 + 6) + 0 + 0) / 3)
    # first class: 2 of 4 seconds are half of the union, which is enough, and 8..10 is found whole
    events = match_events(said[None, None], true[None])
    assert events.clip_f1().item() == pytest.approx((1 + 0 + 0) / 3)


@pytest.mark.parametrize(
    ("said", "right"), [("xx........", 1), ("x.........", 0), ("xxxxxxxx..", 1), ("xxxxxxxxx.", 0)]
)
def test_an_event_is_found_from_half_of_the_union_on(said: str, right: int) -> None:
    assert match_events(clip(said)[None, None], clip("xxxx......")[None]).found.sum() == right


def test_a_clip_in_which_nothing_is_and_nothing_is_said_is_right() -> None:
    nothing = torch.zeros(1, 1, 10, 3, dtype=torch.bool)
    for match in (match_segments, match_events):
        assert match(nothing, nothing[0]).clip_f1().item() == 1
        something = nothing.clone()
        something[0, 0, 4, 2] = True
        assert match(something, nothing[0]).clip_f1().item() == 0
