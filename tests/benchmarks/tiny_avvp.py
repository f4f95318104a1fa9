"""A small AVVP folder: what is heard and what is seen in each second, as noisy points of one common space."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import torch
from tiny_codes_method import TinyConfig, TinyMethod

from unicode_cmg.data.layouts.avvp import Event, EventRow, event_labels, write_avvp
from unicode_cmg.data.layouts.zips import STEPS

CLASSES = ("bell", "dog", "siren")
DIM, COUNTS = 8, {"train": 6, "val": 90, "test": 40}
SUBSETS = np.array(list(product((0, 1), repeat=len(CLASSES))))


def turns() -> dict[str, np.ndarray]:
    """Each modality's rotation of the common space."""
    rng = np.random.default_rng(15)
    return {m: np.linalg.qr(rng.normal(size=(DIM, DIM)))[0] for m in ("audio", "video")}


def centres() -> np.ndarray:
    """Two codes for each set of classes; each class has a direction of its own, so a linear head can tell."""
    rng = np.random.default_rng(16)
    middles = np.concatenate([4.0 * SUBSETS, np.zeros((len(SUBSETS), DIM - len(CLASSES)))], axis=1)
    return np.concatenate([middles + 0.2 * rng.normal(size=middles.shape) for _ in range(2)])


def draw_events(rng: np.random.Generator) -> tuple[Event, ...]:
    """One or two events of different classes."""
    starts = rng.integers(0, STEPS - 1, 2)
    ends = [int(rng.integers(start + 1, STEPS + 1)) for start in starts]
    labels = rng.permutation(CLASSES)[: rng.integers(1, 3)]
    return tuple(Event(str(c), int(s), e) for c, s, e in zip(labels, starts, ends, strict=False))


def names() -> dict[str, list[str]]:
    """File names of each split.

    The first two test clips are later parts of the first two val videos; among the next 20 val clips every
    second one is a later part of the one before.
    """
    found = {split: [f"{split:x<5}-{i:05d}_0_10" for i in range(n)] for split, n in COUNTS.items()}
    for i in range(2):
        found["test"][i] = found["val"][i].replace("_0_10", "_10_20")
    for i in range(2, 22, 2):
        found["val"][i + 1] = found["val"][i].replace("_0_10", "_10_20")
    return found


def write_tiny_avvp(root: Path, *, train_times: bool = False) -> Path:
    """Write `root/AVVP`.

    Audio and video have their own events at their own times. Two clips have events in audio only, one clip
    is in no list, and one is in the audio table twice.
    """
    rng = np.random.default_rng(17)
    lists = names()
    listed = [n for split in (("train",) if train_times else ()) + ("val", "test") for n in lists[split]]
    listed.append("odd-one-out_0_10")
    rows: dict[str, list[EventRow]] = {"audio": [], "video": []}
    features: dict[str, dict[str, np.ndarray]] = {"audio": {}, "video": {}}
    books, rotations = centres(), turns()
    for name, modality in product(listed, rows):
        twin = next((row for row in rows[modality] if row.filename[:11] == name[:11]), None)
        if twin is not None:  # parts of a video share their features, as published
            rows[modality].append(EventRow(name, twin.events))
            continue
        row = EventRow(name, draw_events(rng))
        present = event_labels(row.events, CLASSES)[:, :-1].astype(int)
        codes = present @ [4, 2, 1] + len(SUBSETS) * rng.integers(0, 2, STEPS)
        points = books[codes] + 0.05 * rng.normal(size=(STEPS, DIM))
        features[modality][name] = (points @ rotations[modality]).astype(np.float32)
        rows[modality].append(row)
    rows["video"] = [row for row in rows["video"] if row.filename not in lists["test"][-2:]]
    rows["audio"].append(EventRow(lists["test"][5], draw_events(rng)))
    splits = {split: {name: list(CLASSES) for name in found} for split, found in lists.items()}
    write_avvp(root / "AVVP", features, CLASSES, rows, splits)
    return root


def tiny_localizer() -> TinyMethod:
    """A model that knows the rotations."""
    maps = {m: torch.tensor(r.T, dtype=torch.float32) for m, r in turns().items()}
    books = [torch.tensor(centres(), dtype=torch.float32)]
    config = TinyConfig(modalities=tuple(maps), dim=DIM, num_codes=len(books[0]))
    return TinyMethod(config, maps, books)
