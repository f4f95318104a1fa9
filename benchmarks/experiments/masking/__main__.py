"""The command: python -m benchmarks.experiments.masking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.experiments.masking.figures import draw_curves, draw_reconstructions
from benchmarks.experiments.masking.photos import Photo, load_photos
from benchmarks.experiments.masking.runs import run_all, trained_model
from benchmarks.experiments.masking.tables import tables, tidy_csv
from benchmarks.experiments.masking.vqvae import Settings
from unicode_cmg.console import run_command, seeds_in
from unicode_cmg.files import write_json, write_text


def masking(
    to: Annotated[Path, typer.Option(help="Folder of models, tables and pictures.")] = Path("runs/masking"),
    seeds: Annotated[str, typer.Option(help="Training seeds, separated by commas.")] = "0,1,2,3,4",
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = Settings().steps,
) -> None:
    """Train small VQ-VAEs on photographs of installed packages, mask dimensions of their codewords by TOC and
    at random, and measure the reconstruction error (FCID paper, table 3).

    If it is interrupted, run the same command again to resume.
    """
    torch.set_num_threads(1)  # sums, and so all numbers, depend on the number of threads
    text = run(load_photos(), Settings(steps=steps), seeds_in(seeds), to)
    print(f"\n{text}\nwritten to {to}")


def run(photos: Mapping[str, Photo], settings: Settings, seeds: Sequence[int], to: Path) -> str:
    """Train, measure and write everything into a folder; the tables as text.

    Raises:
        InputError: The folder holds runs with other settings, or cannot be written.
    """
    outcomes = []
    for outcome in run_all(photos, settings, seeds, to):
        outcomes.append(outcome)
        about = f"MSE {outcome.mse:.4f}, perplexity {outcome.perplexity:.0f} ({outcome.seconds:.0f} s)"
        print(f"inputs {outcome.inputs}, seed {outcome.seed}: {about}", flush=True)
    text = tables(outcomes)
    write_text(to / "table.md", text)
    write_text(to / "table.csv", tidy_csv(outcomes))
    write_json(to / "results.json", [asdict(outcome) for outcome in outcomes])
    first = outcomes[0]
    model, _ = trained_model(list(photos.values()), settings, first.inputs, first.seed, to)
    draw_reconstructions(photos, model, first, to / "masking-pictures.png")
    draw_curves(outcomes, to / "masking-curves.png")
    return text


if __name__ == "__main__":
    run_command(masking)
