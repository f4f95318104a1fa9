"""Our DCID compared with the authors' released code, on the same arrays.

usage: python -m benchmarks.experiments.released [--to FOLDER] [--seeds 0,1,2] [--workers 2]

The released code is not run. Its rows are recorded results of its own training functions on the reference
arrays of seed 0 (float32, width 64, 100 codes, batch 80, Adam 4e-4, 3 200 clips), with the head and the
test clips of our rows; seconds are on one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.sweep import Outcome, load_sweep, run_sweep
from benchmarks.sweep.tables import save_outcomes
from unicode_cmg.console import run_command, seeds_in

SWEEP = Path(__file__).parents[2] / "configs" / "digits" / "sweeps" / "released.yaml"
_DIRECTIONS = (("video", "audio"), ("audio", "video"), ("video", "video"), ("audio", "audio"))


def _recorded(name: str, seconds: float, *accuracies: tuple[float, float, float, float]) -> list[Outcome]:
    """The recorded percentages V->A, A->V, V->V, A->A of each pretraining seed of one released method."""
    return [
        Outcome(name, seed, seconds, {"ave": dict(zip(_DIRECTIONS, values, strict=True))})
        for seed, values in enumerate(accuracies)
    ]


RELEASED = (
    *_recorded(
        *("released DCID, 30 epochs", 400),
        *((78.9, 63.1, 62.0, 98.8), (85.9, 63.7, 62.7, 96.5), (61.3, 51.4, 52.5, 92.8)),
    ),
    *_recorded("released FCID, 30 epochs", 375, (77.5, 61.0, 60.1, 96.5), (70.7, 68.3, 66.1, 92.5)),
    *_recorded("released H-DCID, 20 epochs", 830, (78.6, 50.4, 58.1, 98.9), (97.6, 99.0, 99.3, 97.9)),
    *_recorded("released H-DCID, 30 epochs", 1220, (88.5, 57.6, 61.4, 99.5), (95.7, 98.4, 99.3, 96.5)),
)


def released(
    to: Annotated[Path, typer.Option(help="Folder of the runs and the table.")] = Path("runs/released"),
    seeds: Annotated[str, typer.Option(help="Pretraining seeds, separated by commas.")] = "0,1,2,3,4",
    workers: Annotated[int, typer.Option(min=1, help="Number of processes that run at the same time.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Number of threads of each process.")] = 1,
) -> None:
    """Pretrain our DCID, evaluate it on test clips, and print it in one table with the released code.

    If it is interrupted, run the same command again to resume.
    """
    ours = run_sweep(*load_sweep(SWEEP), to=to, seeds=seeds_in(seeds), workers=workers, threads=threads)
    save_outcomes(to, [*RELEASED, *ours])


if __name__ == "__main__":
    run_command(released)
