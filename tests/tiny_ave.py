"""A small AVE folder: events of four classes as noisy points of one common space, turned by each modality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_codes_method import TinyConfig, TinyMethod

from unicode_cmg.data.layouts.ave import Annotation, write_ave

CLASSES = ("bell", "dog", "train", "violin")
DIM, CODES, STEPS = 8, 24, 5
COUNTS = {"train": 60, "val": 24, "test": 40}
SHARED = {"train": 2, "test": 2}
"""Two videos have a clip in train and one in test."""


def turns() -> dict[str, np.ndarray]:
    """Each modality's rotation of the common space."""
    rng = np.random.default_rng(5)
    return {m: np.linalg.qr(rng.normal(size=(DIM, DIM)))[0] for m in ("video", "audio", "text")}


def centres() -> np.ndarray:
    """Four codes of each class, then the codes of background."""
    rng = np.random.default_rng(6)
    middles = 6 * np.eye(DIM)[: len(CLASSES)]
    events = [middle + rng.normal(size=(4, DIM)) for middle in middles]
    return np.concatenate([*events, 0.5 * rng.normal(size=(CODES - 16, DIM))])


def write_tiny_ave(root: Path, *, text: bool = True, scale: float = 1.0) -> Path:
    """Write `root/AVE/data`; text has words of a clip instead of seconds, some of them missing."""
    rng = np.random.default_rng(7)
    total = sum(COUNTS.values())
    classes = np.arange(total) % len(CLASSES)
    books, rotations = centres(), turns()
    inside = np.arange(STEPS) < rng.integers(2, STEPS + 1, (total, 1))
    codes = {}
    for modality in rotations:
        event = 4 * classes[:, None] + rng.integers(0, 4, (total, STEPS))
        codes[modality] = np.where(
            inside | (modality == "text"), event, rng.integers(16, CODES, (total, STEPS))
        )
    features = {}
    for modality, rotation in rotations.items():
        points = books[codes[modality]] + 0.05 * rng.normal(size=(total, STEPS, DIM))
        features[modality] = (scale * points @ rotation).astype(np.float32)
    labels = np.zeros((total, STEPS, len(CLASSES) + 1), np.float32)
    columns = np.where(inside, classes[:, None], len(CLASSES))
    np.put_along_axis(labels, columns[..., None], 1, axis=-1)
    starts = np.cumsum([0, *COUNTS.values()])
    order = {split: np.arange(starts[i], starts[i + 1]) for i, split in enumerate(COUNTS)}
    ids = [f"video{row}" for row in range(total)]
    for k in range(2):
        ids[order["test"][k]] = ids[order["train"][k]]
    mask = np.arange(STEPS) < rng.integers(1, STEPS + 1, (total, 1))
    features["text"][~mask] = 100 * rng.normal(size=(int((~mask).sum()), DIM))
    if not text:
        del features["text"]
    annotations = [
        Annotation(CLASSES[c], i, 0, int(n)) for c, i, n in zip(classes, ids, inside.sum(1), strict=True)
    ]
    write_ave(root / "AVE", features, labels, order, annotations, mask if text else None)
    return root


def tiny_model(*, layers: int = 1, foreign: str | None = None) -> TinyMethod:
    """A model that knows the rotations; it takes the classes of the `foreign` modality for one another."""
    maps = {m: torch.tensor(r.T, dtype=torch.float32) for m, r in turns().items()}
    if foreign is not None:
        maps[foreign] = maps[foreign].roll(1, dims=1)
    books = [torch.tensor(centres(), dtype=torch.float32)]
    rng = torch.Generator().manual_seed(8)
    books += [0.05 * torch.randn(6, DIM, generator=rng) for _ in range(layers - 1)]
    config = TinyConfig(modalities=tuple(maps), dim=DIM, num_codes=CODES, layers=layers)
    return TinyMethod(config, maps, books)
