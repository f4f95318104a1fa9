"""Clips of the downstream tasks: mixed digits with events in either modality, and digits in one modality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float16, Int64
from numpy.typing import NDArray

from unicode_cmg.data.digits.clips import BACKGROUND, Pool, draw_without_repeat, quiet_audio, quiet_video
from unicode_cmg.data.digits.sources import CLASSES, STEPS, recordings, scans, windows
from unicode_cmg.data.layouts.avvp import Event, EventRow

MAX_EVENTS = 3
_ONLY_ONE_MODALITY = 0.3


@dataclass(frozen=True, eq=False)
class MixedClips:
    """N clips of up to three digits each.

    `digits[n, k]` is the k-th digit; `scans[n, k, t]` and `recordings[n, k, t]` are the instances seen and
    heard in second t, or `BACKGROUND`. Where digits meet in a second, the video shows the brighter of their
    pixels and the audio is the mean of their vectors.
    """

    video: Float16[np.ndarray, "clips 10 7 7 16"]
    audio: Float16[np.ndarray, "clips 10 104"]
    digits: Int64[np.ndarray, "clips 3"]
    scans: Int64[np.ndarray, "clips 3 10"]
    recordings: Int64[np.ndarray, "clips 3 10"]

    def __len__(self) -> int:
        return len(self.digits)

    def rows(self, modality: str, names: list[str]) -> list[EventRow]:
        """The events of one modality, for the clips that have any; `names` are the N file names."""
        present = (self.recordings if modality == "audio" else self.scans) != BACKGROUND
        rows = []
        for clip, name in enumerate(names):
            seconds = [
                (int(digit), np.flatnonzero(on))
                for digit, on in zip(self.digits[clip], present[clip], strict=True)
            ]
            events = tuple(Event(CLASSES[d], int(on[0]), int(on[-1]) + 1) for d, on in seconds if len(on))
            if events:
                rows.append(EventRow(name, events))
        return rows

    def classes(self, clip: int) -> list[str]:
        """Classes seen or heard in a clip."""
        present = ((self.scans[clip] != BACKGROUND) | (self.recordings[clip] != BACKGROUND)).any(1)
        return [CLASSES[digit] for digit in self.digits[clip][present]]


def draw_mixed_clips(rng: np.random.Generator, pool: Pool, count: int) -> MixedClips:
    """Clips of one to three different digits; each is both seen and heard with probability 0.7.

    What is heard starts up to two seconds before or after what is seen, and has a length of its own.
    """
    shape = (count, MAX_EVENTS)
    digits = rng.permuted(np.tile(np.arange(len(CLASSES)), (count, 1)), axis=1)[:, :MAX_EVENTS]
    exists = np.arange(MAX_EVENTS) < rng.integers(1, MAX_EVENTS + 1, count)[:, None]
    alone, which = rng.random(shape) < _ONLY_ONE_MODALITY, rng.random(shape) < 0.5
    seen_start = rng.integers(0, STEPS - 2, shape)
    heard_start = np.clip(seen_start + rng.integers(-2, 3, shape), 0, STEPS - 2)
    seen = _interval(rng, seen_start) & (exists & ~(alone & which))[..., None]
    heard = _interval(rng, heard_start) & (exists & ~(alone & ~which))[..., None]

    flat = digits.ravel()
    written = draw_without_repeat(rng, pool.scans, flat).reshape(*shape, STEPS)
    spoken = draw_without_repeat(rng, pool.recordings, flat).reshape(*shape, STEPS)
    written, spoken = np.where(seen, written, BACKGROUND), np.where(heard, spoken, BACKGROUND)

    noise = rng.uniform((0.04, 0.25), (0.2, 0.75), (count, 2)).repeat(STEPS, axis=0)
    pixels = np.where(seen[..., None, None], scans().pixels[written], 0).max(1)
    nothing = ~seen.any(1)
    pixels[nothing] = quiet_video(rng, noise[nothing.ravel(), 0])
    audio = (
        np.where(heard[..., None], recordings().vectors[spoken], 0).sum(1)
        / np.maximum(heard.sum(1), 1)[..., None]
    )
    silent = ~heard.any(1)
    audio[silent] = quiet_audio(rng, noise[silent.ravel(), 1])
    return MixedClips(windows(pixels).astype(np.float16), audio.astype(np.float16), digits, written, spoken)


def _interval(rng: np.random.Generator, starts: NDArray[np.int64]) -> Bool[np.ndarray, "clips 3 10"]:
    """Seconds from `starts` for two to eight seconds, or to the end of the clip."""
    lengths = rng.integers(2, 9, starts.shape)
    seconds = np.arange(STEPS)
    return (seconds >= starts[..., None]) & (seconds < (starts + lengths)[..., None])


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
