"""A small run folder from a seed: what a quickstart leaves behind, without training anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

MODALITIES = ("audio", "video", "text")
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CODES, DIM = 64, 32


def make_run(path: Path, *, steps: int = 1200, evaluated: bool = True, refined: bool = True) -> Path:
    """Write the files of a run under `path`."""
    rng = np.random.default_rng(7)
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(_config()), encoding="utf-8")
    lines = [json.dumps(_line(rng, step)) + "\n" for step in range(10, steps + 1, 10)]
    (path / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    if evaluated:
        (path / "evaluation").mkdir()
        for name, kept in (("ave", None), ("ave-toc", 16)):
            text = json.dumps(_evaluation(rng, kept))
            (path / "evaluation" / f"{name}.json").write_text(text, encoding="utf-8")
    return path


def _config() -> dict[str, Any]:
    return {
        "method": {
            "name": "dcid",
            "modalities": {"video": {"dim": 16, "grid": [7, 7]}, "audio": {"dim": 104}, "text": {"dim": 32}},
            "dim": DIM,
            "num_codes": CODES,
        },
        "data": {"store": "data/pretrain"},
        "training": {"epochs": 30, "batch_size": 80, "seed": 0},
    }


def _line(rng: np.random.Generator, step: int) -> dict[str, Any]:
    def falling(start: float, end: float, rate: float = 400) -> float:
        return float((end + (start - end) * np.exp(-step / rate)) * rng.normal(1, 0.06))

    loss = {f"reconstruction/{m}": falling(1.0 + i / 4, 0.2 + i / 9) for i, m in enumerate(MODALITIES)}
    loss |= {f"commitment/{m}": falling(0.3, 0.05 + i / 50) for i, m in enumerate(MODALITIES)}
    loss |= {f"club/{m}": falling(0.0, 0.2 + i / 20) for i, m in enumerate(MODALITIES)}
    loss |= {"cpc": falling(4.4, 2.1), "cmcm": falling(1.2, 0.3)}
    codebook = {f"layer0/perplexity/{m}": falling(3, 30 + 4 * i) for i, m in enumerate(MODALITIES)}
    codebook["layer0/active"] = float(round(falling(10, 60)))
    codebook["layer0/shared"] = float(round(falling(1, 30)))
    for pair, end in (("audio-video", 0.6), ("audio-text", 0.3), ("video-text", 0.35)):
        codebook[f"layer0/agreement/{pair}"] = min(falling(0.02, end), 1.0)
    return {
        "step": step,
        "epoch": step // 40,
        "seconds": step * 0.12,
        "lr": 4e-4,
        "loss": {"total": sum(loss.values()), **loss},
        "gradient_norm": {"encoder": falling(9, 1)},
        "codebook": codebook,
    }


def _evaluation(rng: np.random.Generator, kept: int | None) -> dict[str, Any]:
    directions = []
    for source in MODALITIES:
        for target in MODALITIES:
            middle = (96 if source == target else 74) + (1.4 if kept else 0) - 8 * (source == "text")
            scores = np.clip(rng.normal(middle, 2.0, 3), 0, 100)
            directions.append(
                {
                    "source": source,
                    "target": target,
                    "kind": "same-modality" if source == target else "transfer",
                    "metric": "accuracy",
                    "mean": float(scores.mean()),
                    "std": float(scores.std(ddof=1)),
                    "per_seed": scores.tolist(),
                    "epochs_selected": [20, 22, 25],
                }
            )
    toc = {
        "layer": "layer0",
        "kept": kept,
        "n_dims": DIM,
        "lam": 0.3,
        "variant": "paper",
        "codebook_sha256": "0" * 64,
    }
    return {
        "task": "ave",
        "protocol": "held-out",
        "leaks": [],
        "departures": [],
        "seeds": [0, 1, 2],
        "classes": list(CLASSES),
        "chance": 10.0,
        "majority": 10.0,
        "directions": directions,
        "toc": [toc] if kept else None,
        "head": {
            "lr": 4e-4,
            "epochs": 25,
            "batch_size": 80,
            "clip": 0.5,
            "milestones": [],
            "select": "best-val",
        },
        "data": {
            "root": "data",
            "fingerprint": "1" * 64,
            "counts": {"train": 800, "val": 400, "test": 800},
            "dropped": {"train": 0, "val": 0, "test": 0},
        },
        "checkpoint": {"method": "dcid", "fingerprint": "2" * 64},
        "seconds": {"encode": 3.1, "heads": 4.2, "total": 7.5},
    }
