"""The reference recipe: clips on which the released implementations were measured.

The arrays depend on the order of every random draw, so this loop draws one clip after the other and only then
computes features for all of them at once.
"""

from __future__ import annotations

import numpy as np

from unicode_cmg.data.digits.clips import BACKGROUND, PROMPTS, Clips, Pool, one_hot
from unicode_cmg.data.digits.sources import (
    AUDIO_DIM,
    CLASSES,
    STEPS,
    TEXT_DIM,
    VIDEO_SHAPE,
    prompt_vectors,
    recordings,
    scans,
    windows,
)

_PROMPTS = PROMPTS[:5]
_GRAIN, _HISS = 0.12, 0.5


def draw_reference_clips(rng: np.random.Generator, pool: Pool, count: int) -> Clips:
    """Clips as `draw_clips` makes them, but with one noise level, five prompts, and repeated instances."""
    digits = np.arange(count) % len(CLASSES)
    written = np.full((count, STEPS), BACKGROUND)
    spoken = np.full((count, STEPS), BACKGROUND)
    grain = np.empty((count, STEPS, 8, 8), np.float32)
    audio = np.empty((count, STEPS, AUDIO_DIM), np.float32)
    text = np.empty((count, STEPS, TEXT_DIM), np.float32)
    vectors = [[prompt_vectors(prompt.format(word)) for prompt in _PROMPTS] for word in CLASSES]
    prompts = []
    for clip, digit in enumerate(digits):
        length = rng.integers(4, STEPS + 1)
        start = rng.integers(0, STEPS + 1 - length)
        grain[clip] = np.clip(rng.normal(0.0, _GRAIN, (STEPS, 8, 8)), 0, 1)
        audio[clip] = rng.normal(0, _HISS, (STEPS, AUDIO_DIM)) + recordings().silence
        written[clip, start : start + length] = rng.choice(pool.scans[digit], length)
        spoken[clip, start : start + length] = rng.choice(pool.recordings[digit], length)
        chosen = rng.choice(len(_PROMPTS))
        text[clip] = vectors[digit][chosen]
        prompts.append(_PROMPTS[chosen].format(CLASSES[digit]))
    event = written != BACKGROUND
    audio[event] = recordings().vectors[spoken[event]]
    video = np.empty((count, STEPS, *VIDEO_SHAPE), np.float16)
    video[event] = windows(scans().pixels)[written[event]]
    video[~event] = windows(grain[~event])
    return Clips(
        video=video,
        audio=audio.astype(np.float16),
        text=text.astype(np.float16),
        text_mask=None,
        labels=one_hot(digits, event),
        scans=written,
        recordings=spoken,
        prompts=np.array(prompts),
    )
