"""A tiny run with slots: audio, video on a grid, and sentences of which only the words are real tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.data import FeatureStore
from unicode_cmg.training import PretrainConfig, fit

CLIPS, STEPS = 24, 5
WORDS = ["a", "dog", "barks", "at", "the", "moon", "<b>"]
DCID = {
    "name": "dcid",
    "modalities": {"audio": {"dim": 6}, "video": {"dim": 4, "grid": [3, 2]}, "text": {"dim": 5}},
    "dim": 8,
    "num_codes": 12,
    "heads": 2,
    "transformer_layers": 1,
    "feedforward": 16,
}
SLOTS = {"name": "slot_alignment", "slots": 4}


def write_store(
    path: Path, *, columns: tuple[str, ...] = ("audio", "video", "text"), ids: str = "clip-{}"
) -> FeatureStore:
    """Noise in audio and video, two to five words a clip, one of them empty."""
    rng = np.random.default_rng(0)
    valid = np.arange(STEPS) < rng.integers(2, STEPS + 1, CLIPS)[:, None]
    words = [[str(word) for word in rng.choice(WORDS, mask.sum())] for mask in valid]
    words[1][1] = ""
    shapes = {"audio": (6,), "video": (3, 2, 4), "text": (5,), "deep": (7,)}
    features = {m: rng.standard_normal((CLIPS, STEPS, *shapes[m])).astype(np.float32) for m in columns}
    known = {"text": words} if "text" in columns else None
    names = [ids.format(i) for i in range(CLIPS)]
    FeatureStore.write(path, features, names, {"text": valid} if known else None, tokens=known)
    return FeatureStore.open(path)


def slot_run(store: FeatureStore, run: Path, *regularizers: Mapping[str, Any]) -> Path:
    """Three steps of training with slots, or with other regularizers."""
    values = {
        "method": DCID,
        "data": {"store": str(store.path)},
        "regularizers": [dict(entry) for entry in regularizers or (SLOTS,)],
        "critics": {"steps": 1},
        "training": {"epochs": 1, "batch_size": 8, "log_every": 1},
    }
    fit(PretrainConfig.parse(values, where="test"), run, progress=False, trust_code=True)
    return run
