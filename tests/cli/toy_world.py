"""The toy world of the command line: features of two classes, a configuration, and what a command leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.layouts.ave import Annotation, write_ave

CLIPS, STEPS, AUDIO, VIDEO = 24, 4, 6, 5


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error of a refused command: the only line on stderr, with nothing on stdout."""
        assert self.code == 2, (self.out, self.err)
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), lines[0]
        return lines[0].removeprefix("error: ")


@dataclass(frozen=True)
class Toy:
    """Paths of the toy world; tests copy what they spoil."""

    store: Path
    config: Path
    run: Path
    ave: Path


def features(rng: np.random.Generator, clips: int) -> dict[str, np.ndarray]:
    """Two classes, told apart by the sign of every channel."""
    sign = np.where(np.arange(clips) % 2, 1.0, -1.0)[:, None, None]
    return {
        "audio": (sign + rng.normal(0, 0.2, (clips, STEPS, AUDIO))).astype(np.float32),
        "video": (sign + rng.normal(0, 0.2, (clips, STEPS, VIDEO))).astype(np.float32),
    }


def write_store(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A feature store of `arrays`."""
    FeatureStore.write(path, arrays, [f"clip-{i}" for i in range(len(arrays["audio"]))])
    return path


def write_config(path: Path, store: Path, **training: int) -> Path:
    """The smallest DCID that trains on the toy features."""
    values = {
        "method": {
            "name": "dcid",
            "modalities": {"audio": {"dim": AUDIO}, "video": {"dim": VIDEO}},
            "dim": 8,
            "num_codes": 6,
            "heads": 2,
            "transformer_layers": 1,
            "feedforward": 16,
        },
        "data": {"store": str(store)},
        "training": {"epochs": 1, "batch_size": 8, "log_every": 100, **training},
    }
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def write_toy_ave(root: Path, arrays: dict[str, np.ndarray]) -> None:
    """An AVE folder of `arrays`, with one event over all steps of each clip."""
    labels = np.zeros((CLIPS, STEPS, 3), dtype=np.float32)
    labels[np.arange(CLIPS), :, np.arange(CLIPS) % 2] = 1
    splits = {"train": np.arange(0, 12), "val": np.arange(12, 18), "test": np.arange(18, 24)}
    notes = [Annotation(("bell", "drum")[i % 2], f"video-{i}", 0, STEPS) for i in range(CLIPS)]
    write_ave(root, arrays, labels, splits, notes)
