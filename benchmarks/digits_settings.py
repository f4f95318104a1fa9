"""The experiment that chose the quickstart's settings, read on validation clips only.

usage: python -m benchmarks.digits_settings [--to runs/settings] [--seeds 0,1,2] [--workers 2] [--threads 1]

Every row differs from the first, the shipped settings, in what its name says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.digits_runs import HEADER, Variant, digits_data, markdown, row, run_variants, save_table

VARIANTS = (
    Variant("shipped settings"),
    Variant("5 epochs", ("training.epochs=5",)),
    Variant("20 epochs", ("training.epochs=20",)),
    Variant("learning rate 4e-4", ("optimizer.lr=4e-4",)),
    Variant("learning rate 2e-3", ("optimizer.lr=2e-3",)),
    Variant("revival after 300 steps", ("method.codebook.revive_after=300",)),
    Variant("uniform codebook", ("method.codebook.init=uniform",)),
    Variant("EMA decay 0.95", ("method.codebook.decay=0.95",)),
    Variant("1 critic step", ("critics.steps=1",)),
    Variant("32 codes", ("method.num_codes=32",)),
    Variant("400 codes", ("method.num_codes=400",)),
)


def main(
    to: Annotated[Path, typer.Option(help="folder of runs and table")] = Path("runs/settings"),
    seeds: Annotated[str, typer.Option(help="pretraining seeds")] = "0,1,2",
    workers: Annotated[int, typer.Option(help="processes at a time")] = 2,
    threads: Annotated[int, typer.Option(help="threads of each process")] = 1,
) -> None:
    """Print the table as Markdown."""
    numbers = [int(seed) for seed in seeds.split(",")]
    data = digits_data(to, "default")
    outcomes = run_variants(
        VARIANTS, numbers, data=data, to=to, report="val", workers=workers, threads=threads
    )
    groups = [[o for o in outcomes if o.variant == v.name] for v in VARIANTS]
    rows = [[v.name, *row(group)] for v, group in zip(VARIANTS, groups, strict=True)]
    save_table(to, "settings", markdown(["variant", *HEADER], rows), outcomes)


if __name__ == "__main__":
    typer.run(main)
