"""Plain spectra as features, and frames averaged over steps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders import load_encoder
from unicode_cmg.extract.encoders.timing import average_over_steps, pieces
from unicode_cmg.extract.media import Grid, Sound

RATE = 16_000


@pytest.mark.parametrize(("name", "dim"), [("log-mel", 64), ("mfcc", 20), ("fbank", 128)])
def test_a_beep_shows_in_its_second_and_a_shift_moves_the_rows(
    name: str, dim: int, torchaudio_here: None
) -> None:
    noise = np.tile(np.random.default_rng(0).normal(size=48_000) * 1e-3, 5)
    clips = []
    for second in (3, 2):
        samples = noise.copy()
        samples[second * 48_000 + 9000 :][:24_000] += 0.5 * np.sin(0.1 * np.arange(24_000))
        clips.append(Sound(np.stack([samples] * 6).astype(np.float32), 48_000))  # surround, to be resampled
    encoder = load_encoder(name, "audio")
    third, second = encoder.encode([encoder.prepare(clip, Grid(5, 1)) for clip in clips])
    assert third.shape == (5, dim)
    assert np.abs(third - np.median(third, axis=0)).sum(1).argmax() == 3
    np.testing.assert_allclose(third[2:-1], second[1:-2], atol=0.02)  # frames at the edges see a neighbour
    provenance = encoder.provenance()
    assert (provenance["rate"], provenance["bands"], provenance["hop"]) == (RATE, dim, 0.01)


def test_spectra_have_settings_but_no_model(torchaudio_here: None) -> None:
    encoder = load_encoder({"name": "mfcc", "bands": 13, "rate": 8_000}, "audio")
    sound = Sound(np.zeros((1, 100), np.float32), 8_000)
    assert encoder.prepare(sound, Grid(2, 2)).shape == (4, 13)
    with pytest.raises(InputError, match="'mfcc' has no model; expected 'mfcc' alone"):
        load_encoder("mfcc:weights.pth", "audio")


@given(st.integers(1, 20), st.floats(0.05, 20), st.floats(1, 40))
def test_pieces_cover_the_clip_and_break_no_step(steps: int, per_second: float, longest: float) -> None:
    grid = Grid(steps / per_second, per_second)
    found = pieces(grid, longest)
    assert found[0].start == 0
    assert found[-1].end == pytest.approx(grid.steps / per_second)
    assert all(a.end == b.start for a, b in pairwise(found))
    assert all(p.end - p.start <= longest * (1 + 1e-5) for p in found)
    for piece in found:
        inside = piece.start * per_second
        whole = abs(inside - round(inside)) < 1e-6
        assert whole or (piece.end - piece.start) * per_second < 1 + 1e-6


@given(st.integers(1, 30), st.integers(1, 12), st.floats(0.2, 5))
def test_the_mean_over_steps_is_that_of_a_signal_constant_in_each_frame(
    count: int, steps: int, seconds: float
) -> None:
    grid = Grid(seconds, steps / seconds)
    edges = np.linspace(0, seconds, count + 1)
    frames = np.random.default_rng(count).normal(size=(count, 2)).astype(np.float32)
    rows = average_over_steps(frames, edges[:-1], edges[1:], grid)
    fine = 420
    at = (np.arange(grid.steps * fine) + 0.5) / (fine * grid.per_second)
    signal = frames[np.clip(np.searchsorted(edges, at, side="right") - 1, 0, count - 1)]
    np.testing.assert_allclose(rows, signal.reshape(grid.steps, fine, 2).mean(1), atol=0.05)


def test_a_step_without_a_frame_has_the_nearest() -> None:
    frames = np.array([[1.0], [2.0]], np.float32)
    rows = average_over_steps(frames, np.array([1.0, 2.0]), np.array([2.0, 3.0]), Grid(5, 1))
    assert rows.tolist() == [[1], [1], [2], [2], [2]]
    one = average_over_steps(frames[1:], np.array([1.0]), np.array([2.0]), Grid(3, 1))
    assert one.tolist() == [[2], [2], [2]]
