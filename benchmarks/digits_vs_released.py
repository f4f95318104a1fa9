"""Our DCID against the released DCID code on exactly the arrays the released code was measured on.

usage: python -m benchmarks.digits_vs_released [--to RUNS] [--seeds 0,1,2] [--workers 1] [--threads 2]

The released rows are recorded, not run here: its own training functions in float32, width 64, 100 codes,
batch 80, Adam 4e-4, on 3 200 clips, with the same head, read on the same test clips (percent).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.digits_runs import (
    DIRECTIONS,
    HEADER,
    Outcome,
    Variant,
    digits_data,
    markdown,
    row,
    run_variants,
    save_table,
)


def _recorded(name: str, seconds: float, *accuracies: tuple[float, float, float, float]) -> list[Outcome]:
    """Recorded percentages V->A, A->V, V->V, A->A of each pretraining seed of a released code."""
    return [
        Outcome(name, seed, seconds, dict(zip(DIRECTIONS, values, strict=True)), {})
        for seed, values in enumerate(accuracies)
    ]


RELEASED = (
    _recorded(
        "released DCID, 30 epochs",
        400,
        (78.9, 63.1, 62.0, 98.8),
        (85.9, 63.7, 62.7, 96.5),
        (61.3, 51.4, 52.5, 92.8),
    ),
    _recorded("released FCID, 30 epochs", 375, (77.5, 61.0, 60.1, 96.5), (70.7, 68.3, 66.1, 92.5)),
    _recorded("released H-DCID, 20 epochs", 830, (78.6, 50.4, 58.1, 98.9), (97.6, 99.0, 99.3, 97.9)),
    _recorded("released H-DCID, 30 epochs", 1220, (88.5, 57.6, 61.4, 99.5), (95.7, 98.4, 99.3, 96.5)),
)
"""Seconds of the released codes are on one core of the machine they were measured on."""

OURS = (
    Variant("unicode-cmg DCID"),
    Variant(
        "unicode-cmg DCID, fidelity published", ("method.fidelity=published", "method.codebook.init=uniform")
    ),
)


def main(
    to: Annotated[Path, typer.Option(help="folder of runs and table")] = Path("runs/vs-released"),
    seeds: Annotated[str, typer.Option(help="pretraining seeds")] = "0,1,2",
    workers: Annotated[int, typer.Option(help="processes at a time")] = 1,
    threads: Annotated[int, typer.Option(help="threads of each process")] = 2,
) -> None:
    """Print the comparison as a Markdown table."""
    numbers = [int(seed) for seed in seeds.split(",")]
    data = digits_data(to, "reference")
    ours = run_variants(OURS, numbers, data=data, to=to, report="test", workers=workers, threads=threads)
    groups = [*RELEASED, *([o for o in ours if o.variant == v.name] for v in OURS)]
    rows = [[outcomes[0].variant, str(len(outcomes)), *row(outcomes)] for outcomes in groups]
    save_table(to, "vs-released", markdown(["code", "seeds", *HEADER], rows), ours)


if __name__ == "__main__":
    typer.run(main)
