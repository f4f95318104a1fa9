"""A small run folder from a seed: what a quickstart leaves behind, without training anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

from benchmarks.evaluation.results import TaskResult
from toc import load_codebook, optimize
from unicode_cmg.inspect.codes.usage import KINDS, sharing_of

MODALITIES = ("audio", "video", "text")
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CODES, DIM = 64, 32


def make_run(
    path: Path, *, steps: int = 1200, finished: bool = True, results: Mapping[str, Any] | None = None
) -> Path:
    """Write the files of a run under `path`; of an unfinished one, what pretraining has written so far.

    Args:
        path: The folder.
        steps: The last step of its log.
        finished: Whether it has a model and everything that a quickstart leaves.
        results: Further evaluations, or other ones, by the name of their file.
    """
    rng = np.random.default_rng(7)
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(_config()), encoding="utf-8")
    lines = [json.dumps(line) + "\n" for step in range(10, steps + 1, 10) for line in _lines(rng, step)]
    (path / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    if finished:
        _write_model(rng, path / "model")
        codebook = load_codebook(path)
        optimize(codebook.vectors, n_dims=16, layer=codebook.name).save(path / "toc")
        _write_result(path / "evaluation" / "ave.json", evaluation(rng))
        _write_result(path / "evaluation" / "ave-toc.json", evaluation(rng, kept=16))
        _write_result(path / "evaluation" / "ave-shuffled.json", evaluation(rng, shuffled=True))
        _write(path / "codes" / "codes.json", described_codes(rng))
        stages = [{"name": "data", "seconds": 3.5}, {"name": "pretraining", "seconds": 141.2}]
        about = {"command": "unicode-cmg quickstart --to runs/quickstart --seed 0", "day": "2026-11-27"}
        _write(path / "quickstart.json", {"format_version": 1, "stages": stages} | about)
    for name, result in (results or {}).items():
        _write_result(path / "evaluation" / f"{name}.json", result)
    return path


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_result(path: Path, value: dict[str, Any]) -> None:
    """As `evaluate` would: with every field."""
    _write(path, TaskResult.from_json(value).to_json())


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


def _write_model(rng: np.random.Generator, folder: Path) -> None:
    folder.mkdir()
    codebook = rng.normal(size=(CODES, DIM)) + np.linspace(0, 2, DIM)
    save_file({"codebook.embedding": codebook.astype(np.float32)}, folder / "model.safetensors")
    description = {"format_version": 1, "method": "dcid", "codebooks": {"layer0": "codebook.embedding"}}
    (folder / "config.json").write_text(json.dumps(description), encoding="utf-8")


def _lines(rng: np.random.Generator, step: int) -> list[dict[str, Any]]:
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
    position = {"step": step, "epoch": step // 40, "seconds": step * 0.12}
    line = {
        **position,
        "lr": 4e-4,
        "loss": {"total": sum(loss.values()), **loss},
        "gradient_norm": {"encoder": falling(9, 1)},
        "codebook": codebook,
    }
    held_out = {**position, "validation": {name: value * 1.1 for name, value in loss.items()}}
    return [line, held_out] if step % 40 == 0 else [line]


def evaluation(rng: np.random.Generator, kept: int | None = None, shuffled: bool = False) -> dict[str, Any]:
    """A result of `evaluate`: transfer near 74 %, more with TOC, chance where the codes are shuffled."""
    directions = []
    for source in MODALITIES:
        for target in MODALITIES:
            middle = (96 if source == target else 74) + (1.4 if kept else 0) - 8 * (source == "text")
            scores = np.clip(rng.normal(10 if shuffled and source != target else middle, 2.0, 3), 0, 100)
            directions.append(
                {
                    "source": source,
                    "target": target,
                    "kind": "same-modality" if source == target else "transfer",
                    "metric": "accuracy",
                    "mean": float(scores.mean()),
                    "std": float(scores.std(ddof=1)),
                    "per_seed": scores.tolist(),
                    "constant": 10.0,
                    "others": {},
                    "epochs_selected": [20, 22, 25],
                }
            )
    toc = {
        "code_layer": "layer0",
        "kept": kept,
        "n_dims": DIM,
        "lam": 0.3,
        "variant": "paper",
        "centered": False,
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
        "permute_codes_seed": 0 if shuffled else None,
        "code_layers": ["layer0"],
        "toc": [toc | {"codebook_sha256": "0" * 64, "use": "slice"}] if kept else None,
        "head": {"lr": 4e-4, "epochs": 25, "batch_size": 80, "clip": 0.5, "milestones": []}
        | {"select": "best-val"},
        "data": {
            "root": "data",
            "fingerprint": "1" * 64,
            "counts": {"train": 800, "val": 400, "test": 800},
            "dropped": {"train": 0, "val": 0, "test": 0},
        },
        "checkpoint": {"method": "dcid", "fingerprint": "2" * 64, "code_layers": {"layer0": CODES}},
        "seconds": {"encode": 3.1, "heads": 4.2, "total": 7.5},
    }


def with_confusion(result: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The same result, with counts of what was taken for what: mostly right, and a class without clips."""
    size = len(result["classes"])
    for row in result["directions"]:
        counts = rng.integers(0, 3, (size, size)) + np.diag(rng.integers(60, 90, size))
        counts[-1] = 0
        by_class = [float(100 * c[k] / c.sum()) if c.any() else None for k, c in enumerate(counts)]
        row["details"] = {"kind": "clips", "confusion": counts.tolist(), "by_class": by_class}
    return result


def event_evaluation(rng: np.random.Generator) -> dict[str, Any]:
    """A result of a task that asks for events, with a clip of each target, under a protocol with a leak."""
    result = evaluation(rng) | {
        "task": "avvp",
        "protocol": "paper",
        "chance": None,
        "majority": None,
        "leaks": ["P4: the same clips <train> and test."],
        "cautions": ["P2: chosen by AVE."],
    }
    result["directions"] = [
        row | {"metric": "precision", "details": _seconds(row["source"], row["target"])}
        for row in result["directions"]
        if "text" not in (row["source"], row["target"])
    ]
    measure = {"mean": 41.0, "std": 1.5, "per_seed": [40.0, 42.0], "interval": [38.25, 44.75]}
    names = [f"{unit} {what}" for unit in ("segment", "event") for what in ("audio", "video", "both")]
    result["joint"] = [
        {"source": m, "targets": ["audio", "video"], "clips": 77, "measures": dict.fromkeys(names, measure)}
        for m in ("audio", "video")
    ]
    return result


def _seconds(source: str, target: str) -> dict[str, Any]:
    true = [[2, 3, 7], [5, 0, 1]]
    said = true if source == target else [[2, 3, 5], [8, 9, 10]]
    clip = {"clip": f"{target}-clip_<1>", "seconds": 10, "true": true, "said": said}
    return {
        "kind": "seconds",
        "present": [1] * len(CLASSES),
        "by_class": [50.0] * (len(CLASSES) - 1) + [None],
        "timelines": [clip],
    }


def retrieval_evaluation(rng: np.random.Generator) -> dict[str, Any]:
    """A result of retrieval, which has no heads."""
    shares = {"mean": 12.5, "std": None, "per_seed": [12.5], "interval": [10.25, 15.75], "constant": 1.5}
    rank = {"mean": 31.0, "std": None, "per_seed": [31.0], "constant": 250.5}
    pair = {"source": "audio", "target": "text", "kind": "transfer", "metric": "R@10", "epochs_selected": []}
    others = {"R@1": shares, "R@5": shares, "mean rank": rank, "median rank": rank}
    return evaluation(rng) | {
        "task": "retrieval-clotho",
        "classes": [],
        "seeds": [],
        "chance": None,
        "majority": None,
        "head": None,
        "bootstrap": {},
        "directions": [pair | shares | {"others": others}],
    }


def described_codes(rng: np.random.Generator) -> dict[str, Any]:
    """What `write_codes` leaves of labelled clips: code k stands for class k mod 11, and a modality uses some
    of the codes; every code of class k was seen in clip 20 + k."""
    columns, tables = len(CLASSES) + 1, {}
    for number, modality in enumerate(MODALITIES):
        table = rng.integers(0, 3, (CODES, columns))
        table[np.arange(CODES), np.arange(CODES) % columns] += rng.integers(20, 90, CODES)
        table[rng.random(CODES) < 0.15 * number] = 0
        table[-2:] = 0
        tables[modality] = table
    counts = {m: table.sum(axis=1) for m, table in tables.items()}
    sharing = sharing_of(counts)
    agreement = [
        {
            "modalities": pair,
            "clips": 0.6,
            "clips_expected": 0.04,
            "steps": 0.5,
            "steps_expected": 0.03,
            "cosine": 0.8,
            "cosine_expected": 0.1,
        }
        for pair in (("audio", "video"), ("audio", "text"), ("video", "text"))
    ]
    codes = [
        {
            "code": code,
            "kind": sharing.kinds[code],
            "counts": {m: int(n[code]) for m, n in counts.items()},
            "shares": dict(zip(MODALITIES, sharing.parts[code].tolist(), strict=True)),
            "nearest": {m: [] for m in MODALITIES},
            "words": {},
            "similar": [],
            "by_class": {
                "counts": {m: table[code].tolist() for m, table in tables.items()},
                "purity": 0.5 if code < CODES - 2 else None,
                "examples": {m: [[20 + code % columns, 2]] for m in ("video", "audio", "text")},
            },
        }
        for code in range(CODES)
    ]
    use = {"steps": 1, "codes": 1, "perplexity": 1.0, "kinds": {}}
    purities = {m: float(t.max(axis=1).sum() / t.sum()) for m, t in tables.items()}
    return {
        "method": "dcid",
        "checkpoint": "2" * 64,
        "features": "3" * 64,
        "clips": 800,
        "code_layer": "layer0",
        "level": None,
        "num_codes": CODES,
        "shares": "per step",
        "kinds": {kind: sharing.kinds.count(kind) for kind in KINDS},
        "modalities": {m: use | {"purity": purity} for m, purity in purities.items()},
        "agreement": agreement,
        "labels": {
            "split": "test",
            "classes": list(CLASSES),
            "agreement": agreement,
            "background": True,
            "background_agreement": [pair | {"steps": 0.25} for pair in agreement],
            "readings": {
                m: {"events": 0.97, "background": 0.875, "chance": 0.12, "seconds": [5600, 2400]}
                for m in ("audio", "video")
            },
        },
        "events": {
            "split": "test",
            "classes": list(CLASSES),
            "readings": {"audio": {"own": 0.3125, "other": 0.5, "chance": 0.11, "seconds": 900}},
        },
        "specific": [
            {
                **{"modality": "video", "part": "layer0", "label": 0.8175, "label_chance": 0.1},
                **{"code": 0.4, "code_chance": 0.05, "explained": 0.0725},
            }
        ],
        "codes": codes,
    }
