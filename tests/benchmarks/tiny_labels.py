"""A small feature store with labels: a picture, some seconds of sound and sometimes words of each clip."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tiny_ave import CLASSES, DIM, centres, turns

from unicode_cmg.data import FeatureStore

CLIPS, STEPS = 120, 5


def kinds() -> np.ndarray:
    """The class of each clip."""
    return np.arange(CLIPS) % len(CLASSES)


def lengths() -> np.ndarray:
    """Seconds of sound."""
    return 2 + np.arange(CLIPS) % (STEPS - 1)


def write_tiny_store(path: Path, columns: dict[str, Sequence[str]] | None = None) -> Path:
    """Every step of a clip is of its class; every third clip has no text, in which there are three words."""
    rng, features = np.random.default_rng(3), {}
    for modality, steps in {"video": 1, "audio": STEPS, "text": 3}.items():
        codes = 4 * kinds()[:, None] + rng.integers(0, 4, (CLIPS, steps))
        points = centres()[codes] + 0.05 * rng.normal(size=(CLIPS, steps, DIM))
        features[modality] = (points @ turns()[modality]).astype(np.float32)
    masks = {"audio": np.arange(STEPS) < lengths()[:, None], "text": np.arange(CLIPS) % 3 > 0}
    FeatureStore.write(path, features, ids(), masks, columns=columns)
    return path


def ids() -> list[str]:
    return [f"clip{row}" for row in range(CLIPS)]


def names() -> list[str]:
    """The name of each clip's class."""
    return [CLASSES[kind] for kind in kinds()]


def write_csv(
    path: Path, columns: dict[str, Iterable[object]], *, separator: str = ",", bom: bool = False
) -> Path:
    """A table; the column `id` is added where it is not given."""
    columns = {"id": ids(), **columns}
    with path.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path
