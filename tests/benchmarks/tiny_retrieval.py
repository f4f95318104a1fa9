"""Small retrieval sets in the common space of `tiny_ave`: an item is two codes, each modality shows them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
from tiny_ave import DIM, centres, turns

from unicode_cmg.data.layouts.retrieval import read_retrieval, write_caption_words, write_retrieval

ITEMS = tuple(combinations(range(7), 2))  # 21
CAPTIONS = 5


def _shown(rng: np.random.Generator, pair: tuple[int, int], modality: str) -> np.ndarray:
    """The two codes of an item, equally often, in any order and of any length."""
    codes = rng.permutation(np.tile(pair, int(rng.integers(1, 5))))
    return ((centres()[codes] + 0.01 * rng.normal(size=(len(codes), DIM))) @ turns()[modality]).astype(
        np.float32
    )


def write_tiny_retrieval(root: Path) -> Path:
    """Write Clotho (audio, text), MSCOCO (video, text) and FlickrSoundNet (audio, video) under `root`."""
    rng = np.random.default_rng(47)
    for name, modality, ids in (
        ("clotho", "audio", [f"sound {i}" for i in range(len(ITEMS))]),
        ("coco", "video", [f"{i:012}" for i in range(len(ITEMS))]),
    ):
        pairs = [(item, f"caption {k} of {item}") for item in ids for k in range(CAPTIONS)]
        shown = {item: _shown(rng, pair, modality) for item, pair in zip(ids, ITEMS, strict=True)}
        write_retrieval(name, root, {modality: shown}, pairs)
        words = [_shown(rng, pair, "text") for pair in ITEMS for _ in range(CAPTIONS)]
        write_caption_words(read_retrieval(name, root), words)
    ids = [f"scene{i}" for i in range(len(ITEMS))]
    features = {
        m: {item: _shown(rng, pair, m) for item, pair in zip(ids, ITEMS, strict=True)}
        for m in ("audio", "video")
    }
    write_retrieval("flickr-sound", root, features, [(item, None) for item in ids])
    return root
