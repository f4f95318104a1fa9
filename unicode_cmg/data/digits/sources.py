"""The raw material: scans of written digits, recordings of spoken ones, and words.

Scans: `sklearn.datasets.load_digits` (the test set of UCI's optical recognition of handwritten digits).
Recordings: the Free Spoken Digit Dataset as MFCC sequences; see README.md in this folder for its licence.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STEPS = 10
VIDEO_SHAPE = (7, 7, 16)
FRAMES, COEFFICIENTS = 8, 13
AUDIO_DIM = FRAMES * COEFFICIENTS
TEXT_DIM = 32
_LEVELS = (0.0, 0.25, 0.5, 0.75)
_SILENCE = -500.0  # first MFCC of a quiet frame: the log energy


@dataclass(frozen=True, eq=False)
class Scans:
    """1797 written digits: `pixels [1797, 8, 8]` in 0..1, and `classes [1797]`."""

    pixels: Float32[np.ndarray, "scans 8 8"]
    classes: Int64[np.ndarray, " scans"]


@dataclass(frozen=True, eq=False)
class Recordings:
    """3000 spoken digits: `vectors [3000, 104]`, `classes [3000]`, and `silence [104]`, a quiet vector."""

    vectors: Float32[np.ndarray, "recordings 104"]
    classes: Int64[np.ndarray, " recordings"]
    silence: NDArray[np.float64]


@cache
def scans() -> Scans:
    """The written digits."""
    from sklearn.datasets import load_digits  # here, because it takes a second

    digits = load_digits()
    return Scans(digits.images.astype(np.float32) / 16, digits.target.astype(np.int64))


@cache
def recordings() -> Recordings:
    """The spoken digits, each resampled to 8 frames of 13 standardised coefficients."""
    with np.load(Path(__file__).with_name("fsdd_mfcc.npz"), allow_pickle=False) as archive:
        frames, lengths, classes = archive["X"], archive["lengths"], archive["y"]
    mean, deviation = frames.mean(0), frames.std(0)
    ends = np.cumsum(lengths)
    sequences = np.split((frames - mean) / deviation, ends[:-1])
    silence = np.zeros(COEFFICIENTS)
    silence[0] = (_SILENCE - mean[0]) / deviation[0]
    vectors = np.stack([_resample(sequence) for sequence in sequences])
    return Recordings(vectors, classes.astype(np.int64), np.tile(silence, FRAMES))


def _resample(frames: Float32[np.ndarray, "length 13"]) -> Float32[np.ndarray, " 104"]:
    """Linear interpolation at 8 equally spaced times from the first frame to the last, flattened."""
    time = np.linspace(0, len(frames) - 1, FRAMES)
    before = np.floor(time).astype(int)
    after = np.minimum(before + 1, len(frames) - 1)
    weight = (time - before)[:, None]
    resampled: NDArray[Any] = (1 - weight) * frames[before] + weight * frames[after]
    return resampled.astype(np.float32).ravel()


def windows(pixels: Float32[np.ndarray, "*batch 8 8"]) -> Float32[np.ndarray, "*batch 7 7 16"]:
    """The 2x2 windows of 8x8 pixels in 0..1, each pixel as four thermometer levels, level by level.

    Level t of a pixel p is `clip(4 (p - t), 0, 1)` for t = 0, 1/4, 1/2, 3/4.
    """
    corners = np.stack(
        [pixels[..., :-1, :-1], pixels[..., :-1, 1:], pixels[..., 1:, :-1], pixels[..., 1:, 1:]], axis=-1
    )
    levels = [np.clip((corners - level) * 4, 0, 1) for level in _LEVELS]
    return np.concatenate(levels, axis=-1).astype(np.float32)


@cache
def word_vector(word: str) -> Float32[np.ndarray, " 32"]:
    """A fixed standard normal vector, seeded by the word's sha1."""
    seed = int.from_bytes(hashlib.sha1(word.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).standard_normal(TEXT_DIM).astype(np.float32)


def prompt_words(prompt: str) -> list[str]:
    """The words of a prompt that have a step."""
    return prompt.split()[:STEPS]


def prompt_vectors(prompt: str) -> Float32[np.ndarray, "10 32"]:
    """The vectors of the first 10 words of a prompt, zeros after the last one."""
    words = prompt_words(prompt)
    vectors = np.zeros((STEPS, TEXT_DIM), np.float32)
    vectors[: len(words)] = [word_vector(word) for word in words]
    return vectors
