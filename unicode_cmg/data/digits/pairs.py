"""Retrieval sets: every item is two digits, one after the other, so that no two items are about the same."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from unicode_cmg.data.digits.clips import Pool
from unicode_cmg.data.digits.single import draw_audio
from unicode_cmg.data.digits.sources import CLASSES, scans, windows, word_vector
from unicode_cmg.data.layouts.retrieval import read_retrieval, write_caption_words, write_retrieval

CAPTIONS = (  # of words that the prompts of pretraining have, too
    "first {} is read aloud then {}",
    "listen to a person who says {} and {}",
    "the sound of {} and then of {}",
    "someone speaks the number {} and the number {}",
    "we hear {} here then a voice says {}",
)
PAIRS = tuple(permutations(range(len(CLASSES)), 2))


def write_clotho_task(root: Path, rng: np.random.Generator, pool: Pool) -> None:
    """Write `clotho2.1`: 90 recordings of 16 to 24 seconds, five captions each, and word vectors."""
    sounds, pairs = {}, []
    for first, second in PAIRS:
        item = f"{CLASSES[first]} then {CLASSES[second]}"
        sounds[item] = _sound(rng, pool, first, second)
        pairs += [(item, caption.format(CLASSES[first], CLASSES[second])) for caption in CAPTIONS]
    write_retrieval("clotho", root, {"audio": sounds}, pairs)
    words = [np.stack([word_vector(word) for word in caption.split()]) for _, caption in pairs]
    write_caption_words(read_retrieval("clotho", root), words)


def write_flickr_task(root: Path, rng: np.random.Generator, pool: Pool) -> None:
    """Write `FlickrSoundNet`: 90 pictures of two pages with a digit on each, and as many recordings."""
    sounds, pictures = {}, {}
    for number, (first, second) in enumerate(PAIRS):
        item = f"{number:05d}"
        sounds[item] = _sound(rng, pool, first, second)
        pages = [rng.choice(pool.scans[digit]) for digit in (first, second)]
        pictures[item] = windows(scans().pixels[pages]).astype(np.float16)
    write_retrieval(
        "flickr-sound", root, {"audio": sounds, "video": pictures}, [(item, None) for item in sounds]
    )


def _sound(rng: np.random.Generator, pool: Pool, first: int, second: int) -> Float16[np.ndarray, "time 104"]:
    return np.concatenate([draw_audio(rng, pool.recordings[digit]) for digit in (first, second)])
