"""How the settings of the VQ-VAE were chosen: on validation crops, nothing masked.

usage: python -m benchmarks.experiments.masking.settings [--to runs/masking-settings]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.experiments.masking.masks import reconstruction_error
from benchmarks.experiments.masking.photos import grid_crops, load_photos
from benchmarks.experiments.masking.runs import trained_model
from benchmarks.experiments.masking.vqvae import CODES, Settings
from benchmarks.markdown import markdown_table
from unicode_cmg.codebook import perplexity
from unicode_cmg.console import run_command

TRIED: dict[str, dict[str, Any]] = {
    "shipped settings": {},
    "1000 steps": {"steps": 1000},
    "1000 steps, 64 channels": {"steps": 1000, "channels": 64},
    "learning rate 1e-3": {"lr": 1e-3},
    "learning rate 4e-3": {"lr": 4e-3},
    "no revival": {"revive_below": 0.0},
}
"""Changes to the shipped settings."""


def settings(
    to: Annotated[Path, typer.Option(help="Folder of the models.")] = Path("runs/masking-settings"),
    seed: Annotated[int, typer.Option(min=0, help="Training seed.")] = 0,
) -> None:
    """Train one model for each tried setting, and print its error on validation crops."""
    torch.set_num_threads(1)
    photos = list(load_photos().values())
    images = grid_crops(photos, "val")
    rows = []
    for name, changes in TRIED.items():
        folder = to / name.replace(" ", "-")
        model, _ = trained_model(photos, Settings(**changes), "centred", seed, folder)
        with torch.inference_mode():
            indices = model(images).indices
        error = reconstruction_error(model, images, indices, model.codebook)
        rows.append((name, f"{error:.5f}", f"{perplexity(indices, CODES):.1f}"))
        print(*rows[-1], sep="  ", flush=True)
    print("\n" + markdown_table(("variant", "validation MSE", "perplexity"), rows))


if __name__ == "__main__":
    run_command(settings)
