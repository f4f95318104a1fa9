"""The clock of a clip, and which of its steps media cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicode_cmg.extract.media import ONE_STEP, Frames, Grid, Sound


@pytest.mark.parametrize(
    ("seconds", "per_second", "steps"), [(10, 1, 10), (9.98, 1, 10), (2.4, 1, 2), (2.5, 1, 3)]
)
def test_a_remainder_of_half_a_step_is_a_step(seconds: float, per_second: float, steps: int) -> None:
    assert Grid(seconds, per_second).steps == steps


def test_a_clip_has_at_least_one_step() -> None:
    assert Grid(0.01, 1).steps == 1
    assert ONE_STEP.steps == 1


@given(st.floats(0.01, 100), st.floats(0.1, 30), st.integers(1, 16))
def test_the_frames_of_a_step_lie_in_that_step(seconds: float, per_second: float, per_step: int) -> None:
    grid = Grid(seconds, per_second)
    asked = grid.frame_seconds(per_step)
    assert grid.step_of(asked).tolist() == np.repeat(np.arange(grid.steps), per_step).tolist()
    assert grid.step_of(grid.starts).tolist() == list(range(grid.steps))


def test_sound_covers_steps_that_are_half_heard() -> None:
    sound = Sound(np.zeros((2, 26), np.float32), rate=10, start=0.4)
    assert sound.covers(Grid(5, 1)).tolist() == [True, True, True, False, False]
    late = Sound(np.zeros((1, 10), np.float32), rate=10, start=0.6)
    assert late.covers(Grid(3, 1)).tolist() == [False, True, False]


def test_frames_cover_the_steps_in_which_they_are_shown() -> None:
    frames = Frames(np.zeros((2, 4, 4, 3), np.uint8), np.array([0.5, 2.0]))
    assert frames.covers(Grid(4, 1)).tolist() == [True, False, True, False]
    still = Frames(np.zeros((1, 4, 4, 3), np.uint8), np.zeros(1))
    assert still.covers(ONE_STEP).tolist() == [True]
