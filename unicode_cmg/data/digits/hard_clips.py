"""Clips of the hard recipe: two digits a class, short events, shifted sound, and a digit that distracts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int64

from unicode_cmg.data.digits.clips import (
    BACKGROUND,
    Pool,
    PromptedClips,
    draw_without_repeat,
    one_hot,
    prompt_features,
    quiet_audio,
    quiet_video,
)
from unicode_cmg.data.digits.sources import CLASSES, STEPS, recordings, scans, windows
from unicode_cmg.data.digits.task_clips import MixedClips

PAIRS = tuple(combinations(range(len(CLASSES)), 2))
PAIR_CLASSES = 24
PAIR_PROMPTS = (
    "{} and {} are seen and heard",
    "the sound and the picture of {} and {}",
    "someone writes and speaks {} then {}",
    "first the digit {} is read aloud then {}",
    "we hear and see {} and {} here",
    "a voice says {} while a hand draws {}",
    "listen to a person who says {} then {}",
    "this clip shows the number {} and the number {}",
)
_DISTRACTOR = 2  # its place among the digits of a clip, after the pair's


@dataclass(frozen=True, eq=False)
class HardClips(PromptedClips, MixedClips):
    """N clips whose class is a pair of digits: `digits[n, :2]`; `digits[n, 2]` distracts.

    `labels` is one-hot over the pairs and, last, background: the seconds in which neither digit of the pair
    is seen or heard. The distractor is seen or heard, never both, and may be alone in a second of background.
    """


def choose_pairs(rng: np.random.Generator) -> list[tuple[int, int]]:
    """24 of the 45 unordered pairs of digits, the classes of one seed."""
    return [PAIRS[k] for k in rng.permutation(len(PAIRS))[:PAIR_CLASSES]]


def pair_name(pair: tuple[int, int]) -> str:
    """Such as "two and seven"."""
    return f"{CLASSES[pair[0]]} and {CLASSES[pair[1]]}"


def draw_hard_clips(
    rng: np.random.Generator, pool: Pool, count: int, pairs: list[tuple[int, int]]
) -> HardClips:
    """Clips of the pairs in turn.

    Each digit of the pair is seen for one to three seconds, anywhere in the clip, and heard for as long, up
    to a second earlier or later. A third digit is either seen or heard, for one or two seconds. Where digits
    meet in a second, the video shows the brighter of their pixels and the audio is the mean of their vectors.
    The paper has grain in every second; grain and the noise of silent seconds differ from clip to clip.
    """
    classes = np.arange(count) % len(pairs)
    digits = np.column_stack([np.array(pairs)[classes], np.zeros(count, np.int64)])
    others = rng.random((count, len(CLASSES)))
    np.put_along_axis(others, digits[:, :_DISTRACTOR], 1, axis=1)
    digits[:, _DISTRACTOR] = others.argmin(1)

    lengths = rng.integers(1, (4, 4, 3), digits.shape)
    seen_start = rng.integers(0, STEPS + 1 - lengths)
    heard_start = np.clip(seen_start + rng.integers(-1, 2, digits.shape), 0, STEPS - lengths)
    only_seen = rng.random(count) < 0.5
    seen, heard = _interval(seen_start, lengths), _interval(heard_start, lengths)
    seen[~only_seen, _DISTRACTOR] = False
    heard[only_seen, _DISTRACTOR] = False

    shape, flat = (*digits.shape, STEPS), digits.ravel()
    written = np.where(seen, draw_without_repeat(rng, pool.scans, flat).reshape(shape), BACKGROUND)
    spoken = np.where(heard, draw_without_repeat(rng, pool.recordings, flat).reshape(shape), BACKGROUND)
    noise = rng.uniform((0.04, 0.25), (0.2, 0.75), (count, 2)).repeat(STEPS, axis=0)
    pixels = quiet_video(rng, noise[:, 0]).reshape(count, STEPS, 8, 8)
    pixels = np.maximum(pixels, np.where(seen[..., None, None], scans().pixels[written], 0).max(1))
    audio = quiet_audio(rng, noise[:, 1]).reshape(count, STEPS, -1)
    voices = np.where(heard[..., None], recordings().vectors[spoken], 0).sum(1)
    loud = heard.any(1)
    audio[loud] = voices[loud] / heard.sum(1)[loud][:, None]

    order = rng.permuted(np.tile([0, 1], (count, 1)), axis=1)
    first, second = np.take_along_axis(digits, order, axis=1).T
    chosen = rng.integers(0, len(PAIR_PROMPTS), count)
    prompts = [
        PAIR_PROMPTS[k].format(CLASSES[i], CLASSES[j]) for k, i, j in zip(chosen, first, second, strict=True)
    ]
    text, text_mask = prompt_features(prompts)
    return HardClips(
        video=windows(pixels).astype(np.float16),
        audio=audio.astype(np.float16),
        text=text,
        text_mask=text_mask,
        labels=one_hot(classes, (seen | heard)[:, :_DISTRACTOR].any(1), len(pairs)),
        prompts=np.array(prompts),
        digits=digits,
        scans=written,
        recordings=spoken,
    )


def _interval(
    starts: Int64[np.ndarray, "clips 3"], lengths: Int64[np.ndarray, "clips 3"]
) -> Bool[np.ndarray, "clips 3 10"]:
    seconds = np.arange(STEPS)
    ends = starts + lengths
    return np.asarray((seconds >= starts[..., None]) & (seconds < ends[..., None]))
