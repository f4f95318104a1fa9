"""Ten-second clips of one digit, written and spoken in some of the seconds, with a prompt about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int64, Shaped
from numpy.typing import NDArray

from unicode_cmg.data.digits.sources import (
    AUDIO_DIM,
    CLASSES,
    STEPS,
    TEXT_DIM,
    VIDEO_SHAPE,
    prompt_vectors,
    prompt_words,
    recordings,
    scans,
    windows,
)

SHARES = {"pretrain": 0.5, "train": 0.2, "val": 0.1, "test": 0.2}
BACKGROUND = -1
PROMPTS = (
    "a picture and the sound of the number {}",
    "someone writes and speaks {} for you",
    "the digit {} is read aloud here",
    "we hear and see {} several times",
    "this clip shows the figure {}",
    "{} is written while a voice says it",
    "listen to a person who says {}",
    "first a hand draws {} then a voice reads it",
    "here comes {} on paper and in speech",
    "what you see and hear is the numeral {}",
)


@dataclass(frozen=True, eq=False)
class PromptedClips:
    """N clips of K classes with a prompt each.

    `labels` is one-hot over the classes and, last, background; `prompts` are what `text` was made of.
    """

    video: Float16[np.ndarray, "clips 10 7 7 16"]
    audio: Float16[np.ndarray, "clips 10 104"]
    text: Float16[np.ndarray, "clips 10 32"]
    text_mask: Bool[np.ndarray, "clips 10"] | None
    labels: Float32[np.ndarray, "clips 10 columns"]
    prompts: Shaped[np.ndarray, " clips"]

    def __len__(self) -> int:
        return len(self.labels)

    def intervals(self) -> list[tuple[int, int, int]]:
        """`(class, start, end)` of each clip: from its first event on to the end of its last, exclusive."""
        inside = self.labels[..., -1] == 0
        classes = self.labels[..., :-1].sum(1).argmax(-1)
        starts, ends = inside.argmax(1), STEPS - inside[:, ::-1].argmax(1)
        return list(zip(classes.tolist(), starts.tolist(), ends.tolist(), strict=True))

    def words(self) -> list[list[str]]:
        """The word of each valid text step; without a mask, empty strings after the last word of a prompt."""
        words = [prompt_words(prompt) for prompt in self.prompts.tolist()]
        return words if self.text_mask is not None else [w + [""] * (STEPS - len(w)) for w in words]


ClipsT = TypeVar("ClipsT", bound=PromptedClips)


@dataclass(frozen=True, eq=False)
class DigitClips(PromptedClips):
    """N clips of one digit, with the scan and the recording behind each second, or `BACKGROUND`."""

    scans: Int64[np.ndarray, "clips 10"]
    recordings: Int64[np.ndarray, "clips 10"]


def concatenate(parts: Sequence[ClipsT]) -> ClipsT:
    """The clips of all parts, in order."""
    columns: dict[str, Any] = {}
    for field in fields(parts[0]):
        values = [getattr(part, field.name) for part in parts]
        columns[field.name] = None if values[0] is None else np.concatenate(values)
    return type(parts[0])(**columns)


@dataclass(frozen=True, eq=False)
class Pool:
    """The instances one split may show: per digit, indices of scans and of recordings."""

    scans: tuple[Int64[np.ndarray, " _"], ...]
    recordings: tuple[Int64[np.ndarray, " _"], ...]


def split_instances(rng: np.random.Generator) -> dict[str, Pool]:
    """Deal the scans and the recordings of each digit to the splits; no instance is in two of them."""
    written, spoken = _deal(rng, scans().classes), _deal(rng, recordings().classes)
    return {split: Pool(tuple(written[k]), tuple(spoken[k])) for k, split in enumerate(SHARES)}


def _deal(rng: np.random.Generator, classes: NDArray[np.int64]) -> list[list[NDArray[np.int64]]]:
    dealt: list[list[NDArray[np.int64]]] = [[] for _ in SHARES]
    shares = np.cumsum(tuple(SHARES.values()))
    for digit in range(len(CLASSES)):
        shuffled = rng.permutation(np.flatnonzero(classes == digit))
        cuts = (shares * len(shuffled)).astype(int)
        for part, instances in zip(dealt, np.split(shuffled, cuts[:-1]), strict=True):
            part.append(instances)
    return dealt


def draw_without_repeat(
    rng: np.random.Generator, pool: tuple[NDArray[np.int64], ...], digits: NDArray[np.int64]
) -> Int64[np.ndarray, "clips 10"]:
    """Ten different instances of each clip's digit."""
    return np.stack([rng.choice(pool[digit], STEPS, replace=False) for digit in digits])


def quiet_video(rng: np.random.Generator, noise: NDArray[np.float64]) -> Float32[np.ndarray, "seconds 8 8"]:
    """Empty paper with grain of standard deviation `noise` in each second, as pixels in 0..1."""
    grain = rng.standard_normal((len(noise), 8, 8)) * noise[:, None, None]
    return np.clip(grain, 0, 1).astype(np.float32)


def quiet_audio(rng: np.random.Generator, noise: NDArray[np.float64]) -> Float32[np.ndarray, "seconds 104"]:
    """Silence with noise of standard deviation `noise` in each second, in standardised MFCC."""
    hiss = rng.standard_normal((len(noise), AUDIO_DIM)) * noise[:, None]
    return (hiss + recordings().silence).astype(np.float32)


def draw_clips(rng: np.random.Generator, pool: Pool, count: int) -> DigitClips:
    """Clips of the default recipe: digits in turn, events of 4 to 10 seconds, ten prompts, noise by clip."""
    digits = np.arange(count) % len(CLASSES)
    lengths = rng.integers(4, STEPS + 1, count)
    starts = rng.integers(0, STEPS + 1 - lengths)
    seconds = np.arange(STEPS)
    event = (seconds >= starts[:, None]) & (seconds < (starts + lengths)[:, None])
    written = np.where(event, draw_without_repeat(rng, pool.scans, digits), BACKGROUND)
    spoken = np.where(event, draw_without_repeat(rng, pool.recordings, digits), BACKGROUND)

    grain, hiss = rng.uniform(0.04, 0.2, (count, 1)), rng.uniform(0.25, 0.75, (count, 1))
    video = np.empty((count, STEPS, *VIDEO_SHAPE), np.float16)
    video[event] = windows(scans().pixels)[written[event]]
    video[~event] = windows(quiet_video(rng, np.broadcast_to(grain, event.shape)[~event]))
    audio = np.empty((count, STEPS, AUDIO_DIM), np.float16)
    audio[event] = recordings().vectors[spoken[event]]
    audio[~event] = quiet_audio(rng, np.broadcast_to(hiss, event.shape)[~event])

    chosen = rng.integers(0, len(PROMPTS), count)
    prompts = [PROMPTS[k].format(CLASSES[digit]) for k, digit in zip(chosen, digits, strict=True)]
    text, text_mask = prompt_features(prompts)
    return DigitClips(
        video=video,
        audio=audio,
        text=text,
        text_mask=text_mask,
        labels=one_hot(digits, event),
        scans=written,
        recordings=spoken,
        prompts=np.array(prompts),
    )


def draw_reference_clips(rng: np.random.Generator, pool: Pool, count: int) -> DigitClips:
    """Clips of the reference recipe, on which the released implementations were measured.

    They differ from those of `draw_clips` by one noise level, five prompts, and repeated instances. The
    arrays depend on the order of every random draw, so this loop draws one clip after the other and computes
    features only at the end, for all of them at once.
    """
    templates = PROMPTS[:5]
    digits = np.arange(count) % len(CLASSES)
    written = np.full((count, STEPS), BACKGROUND)
    spoken = np.full((count, STEPS), BACKGROUND)
    grain = np.empty((count, STEPS, 8, 8), np.float32)
    audio = np.empty((count, STEPS, AUDIO_DIM), np.float32)
    text = np.empty((count, STEPS, TEXT_DIM), np.float32)
    vectors = [[prompt_vectors(template.format(word)) for template in templates] for word in CLASSES]
    prompts = []
    for clip, digit in enumerate(digits):
        length = rng.integers(4, STEPS + 1)
        start = rng.integers(0, STEPS + 1 - length)
        grain[clip] = np.clip(rng.normal(0.0, 0.12, (STEPS, 8, 8)), 0, 1)
        audio[clip] = rng.normal(0, 0.5, (STEPS, AUDIO_DIM)) + recordings().silence
        written[clip, start : start + length] = rng.choice(pool.scans[digit], length)
        spoken[clip, start : start + length] = rng.choice(pool.recordings[digit], length)
        chosen = rng.choice(len(templates))
        text[clip] = vectors[digit][chosen]
        prompts.append(templates[chosen].format(CLASSES[digit]))
    event = written != BACKGROUND
    audio[event] = recordings().vectors[spoken[event]]
    video = np.empty((count, STEPS, *VIDEO_SHAPE), np.float16)
    video[event] = windows(scans().pixels)[written[event]]
    video[~event] = windows(grain[~event])
    return DigitClips(
        video=video,
        audio=audio.astype(np.float16),
        text=text.astype(np.float16),
        text_mask=None,
        labels=one_hot(digits, event),
        scans=written,
        recordings=spoken,
        prompts=np.array(prompts),
    )


def prompt_features(
    prompts: Sequence[str],
) -> tuple[Float16[np.ndarray, "clips 10 32"], Bool[np.ndarray, "clips 10"]]:
    """The word vectors of each prompt, and which steps have a word."""
    distinct, rows = np.unique(prompts, return_inverse=True)
    vectors = np.array([prompt_vectors(prompt) for prompt in distinct.tolist()], np.float16)
    words = np.array([len(prompt_words(prompt)) for prompt in distinct.tolist()])
    return vectors[rows], np.arange(STEPS) < words[rows, None]


def one_hot(
    classes: NDArray[np.int64], event: NDArray[np.bool_], count: int = len(CLASSES)
) -> Float32[np.ndarray, "clips 10 _"]:
    """The class of the clip in each second of its event, and outside it background, after `count` classes."""
    column = np.where(event, classes[:, None], count)
    return np.eye(count + 1, dtype=np.float32)[column]
