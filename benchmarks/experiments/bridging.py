"""Do modalities align that never occur together, and what do missing ones cost? On clips of eight kinds.

Each clip is of one kind; a step of a modality is the vector of its kind plus noise. A code stands for the
kind that chose it most often in the source modality, on one half of the held-out clips; the table shows for
how many steps of the target modality that is right, on the other half. Chance is 12.5 %.

Run: python -m benchmarks.experiments.bridging --seeds 0,1,2
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from jaxtyping import Float32, Int64

from benchmarks.markdown import markdown_table
from unicode_cmg import FeatureStore, PretrainConfig, fit, load_pretrained

KINDS, STEPS, CLIPS, HELD_OUT = 8, 6, 600, 400
WIDTHS = {"audio": 12, "video": 10, "text": 8}
ROWS: dict[str, dict[str, Any]] = {
    "every clip whole": {},
    "30 % missing": {"missing": 0.3},
    "no audio with video": {"unpaired": [["audio", "video"]]},
    "nothing together": {"unpaired": [["audio", "video"], ["audio", "text"], ["video", "text"]]},
}
DIRECTIONS = (
    ("audio", "audio"),
    ("audio", "video"),
    ("video", "audio"),
    ("audio", "text"),
    ("video", "text"),
)


def draw(
    rng: np.random.Generator, prototypes: Mapping[str, Any], clips: int
) -> tuple[Int64[np.ndarray, " clips"], dict[str, Float32[np.ndarray, "clips steps _"]]]:
    """Kinds, and features by modality."""
    kinds = rng.integers(0, KINDS, clips)
    noise = {m: 0.5 * rng.normal(size=(clips, STEPS, width)) for m, width in WIDTHS.items()}
    return kinds, {m: (prototypes[m][kinds][:, None] + x).astype(np.float32) for m, x in noise.items()}


def measure(settings: Mapping[str, Any], seed: int, epochs: int, folder: Path) -> dict[str, float]:
    """Percent of steps whose kind is told right, by direction."""
    rng = np.random.default_rng(seed)
    prototypes = {m: rng.normal(size=(KINDS, width)) for m, width in WIDTHS.items()}
    _, features = draw(rng, prototypes, CLIPS)
    FeatureStore.write(folder / "store", features, [f"clip-{k}" for k in range(CLIPS)])
    sizes = {"dim": 16, "num_codes": 24, "heads": 2, "transformer_layers": 1, "feedforward": 32}
    codebook = {"init": "data", "revive_after": 20, "own_weight": 0.3333}
    modalities = {m: {"dim": width} for m, width in WIDTHS.items()}
    config = {
        "method": {
            "name": "dcid",
            "modalities": modalities,
            "critic_hidden": 16,
            "codebook": codebook,
            **sizes,
        },
        "data": {"store": str(folder / "store"), **settings},
        "optimizer": {"lr": 0.003, "schedule": "cosine"},
        "training": {"epochs": epochs, "batch_size": 60, "seed": seed},
    }
    run = fit(PretrainConfig.parse(config, where="bridging"), folder / "run", progress=False)
    model = load_pretrained(run.model)
    kinds, held_out = draw(rng, prototypes, HELD_OUT)
    codes = {m: model.encode(m, torch.from_numpy(x)).indices[..., 0].numpy() for m, x in held_out.items()}
    half = HELD_OUT // 2
    right = {}
    for source, target in DIRECTIONS:
        chosen = np.zeros((24, KINDS))
        np.add.at(chosen, (codes[source][:half].ravel(), np.repeat(kinds[:half], STEPS)), 1)
        told = chosen.argmax(1)[codes[target][half:]] == kinds[half:, None]
        right[f"{source}->{target}"] = 100 * float(told.mean())
    return right


def main(
    seeds: Annotated[str, typer.Option(help="Seeds of data and training, separated by commas.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(help="Passes over the 600 clips, of 10 steps each.")] = 20,
    rows: Annotated[
        str, typer.Option(help="Numbers of the rows to compute, separated by commas.")
    ] = "0,1,2,3",
) -> None:
    """Train every row with every seed and print the table."""
    torch.set_num_threads(1)
    lines = []
    for name in (list(ROWS)[int(row)] for row in rows.split(",")):
        found: list[dict[str, float]] = []
        for seed in map(int, seeds.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(ROWS[name], seed, epochs, Path(folder)))
        cells = (np.array([one[key] for one in found]) for key in found[0])
        lines.append([name, *(f"{x.mean():.1f} ± {x.std(ddof=1) if len(x) > 1 else 0:.1f}" for x in cells)])
    print(markdown_table(["pretraining clips", *(f"{a}->{b}" for a, b in DIRECTIONS)], lines))


if __name__ == "__main__":
    typer.run(main)
