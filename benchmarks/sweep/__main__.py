"""The command: python -m benchmarks.sweep SWEEP.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.sweep.cluster import Cluster
from benchmarks.sweep.config import load_sweep
from benchmarks.sweep.runs import run_sweep
from benchmarks.sweep.tables import save_outcomes
from unicode_cmg.console import pairs_in, run_command, seeds_in


def sweep(
    file: Annotated[
        Path, typer.Argument(help="Says what to vary, such as configs/digits/sweeps/quantizers.yaml.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data sets and of the feature store 'pretrain'.")
    ] = None,
    recipe: Annotated[
        Literal["default", "hard", "reference"] | None,
        typer.Option(
            help="Recipe of the embedded digits, for rows without data of their own.",
            show_default="that of the file",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder of runs and tables.", show_default="runs/ and the name of the file"),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Pretraining seeds, separated by commas, instead of the file's.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Number of processes, or of jobs, that run at the same time.")
    ] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Number of threads of each process.")] = 1,
    cluster: Annotated[
        Literal["slurm", "local"] | None,
        typer.Option(help="Run each variant and seed as a job; local: jobs on this machine."),
    ] = None,
    job: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Option of each job, such as partition=gpu; can be repeated."
        ),
    ] = None,
    trust_code: Annotated[
        bool,
        typer.Option(
            "--trust-code", help="Import and run what a configuration names as package.module:callable."
        ),
    ] = False,
) -> None:
    """Evaluate all variants and checkpoints that a sweep file names, and print the tables.

    Variants are pretrained first. If the sweep is interrupted, run the same command again to resume.
    """
    to = to or Path("runs") / file.stem
    sent = None
    if cluster is not None:
        sent = Cluster(
            cluster, to / "jobs", pairs_in(job or [], "--job"), poll=10 if cluster == "slurm" else 1
        )
    config, rows = load_sweep(file, trust_code=trust_code)
    outcomes = run_sweep(
        config,
        rows,
        to=to,
        data=data,
        recipe=recipe,
        seeds=None if seeds is None else seeds_in(seeds),
        workers=workers,
        threads=threads,
        cluster=sent,
    )
    save_outcomes(to, outcomes, config, rows)


if __name__ == "__main__":
    run_command(sweep)
