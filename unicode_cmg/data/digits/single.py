"""Clips of one sense: a digit written without a sound, or spoken without a picture, of varying length."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float16
from numpy.typing import NDArray

from unicode_cmg.data.digits.clips import quiet_audio, quiet_video
from unicode_cmg.data.digits.sources import recordings, scans, windows


def draw_video(rng: np.random.Generator, pool: NDArray[np.int64]) -> Float16[np.ndarray, "time 7 7 16"]:
    """6 to 14 seconds of written digits from `pool`, with up to two seconds of empty paper at either end."""
    event, noise = _event(rng, 6, 14), rng.uniform(0.04, 0.2)
    pixels = np.empty((len(event), 8, 8), np.float32)
    pixels[event] = scans().pixels[rng.choice(pool, event.sum())]
    pixels[~event] = quiet_video(rng, np.full((~event).sum(), noise))
    return windows(pixels).astype(np.float16)


def draw_audio(rng: np.random.Generator, pool: NDArray[np.int64]) -> Float16[np.ndarray, "time 104"]:
    """8 to 12 seconds of spoken digits from `pool`, with up to two seconds of silence at either end."""
    event, noise = _event(rng, 8, 12), rng.uniform(0.25, 0.75)
    vectors = np.empty((len(event), recordings().vectors.shape[1]), np.float32)
    vectors[event] = recordings().vectors[rng.choice(pool, event.sum())]
    vectors[~event] = quiet_audio(rng, np.full((~event).sum(), noise))
    return vectors.astype(np.float16)


def _event(rng: np.random.Generator, shortest: int, longest: int) -> Bool[np.ndarray, " time"]:
    seconds = np.arange(rng.integers(shortest, longest + 1))
    before, after = rng.integers(0, 3, 2)
    return np.asarray((seconds >= before) & (seconds < len(seconds) - after))
