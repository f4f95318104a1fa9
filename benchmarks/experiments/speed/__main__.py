"""The command: python -m benchmarks.experiments.speed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.experiments.speed import codebooks, data, dimensions, evaluation, training
from benchmarks.experiments.speed.measuring import HEADER, Row, fallen
from benchmarks.markdown import markdown_table
from unicode_cmg.console import run_command
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import read_json, write_json

RECORDED = Path(__file__).with_name("recorded.json")

Rows = Callable[[int, int | None], Iterator[Row]]

GROUPS: dict[str, Rows] = {
    "step": lambda rounds, clips: training.step_rows(rounds, clips=clips or 8),
    "regularizers": lambda rounds, clips: training.regularizer_rows(rounds, clips=clips or 8),
    "step-growth": lambda rounds, clips: training.growth_rows(rounds, clips=clips or 4),
    "step-memory": lambda _, clips: training.memory_rows(clips=clips or 80),
    "quantizer": lambda rounds, _: codebooks.quantizer_rows(rounds),
    "quantizer-memory": lambda rounds, _: codebooks.memory_rows(),
    "gpu": lambda rounds, clips: chain(
        training.gpu_rows(rounds, clips=clips or 80), codebooks.gpu_rows(rounds)
    ),
    "toc": lambda rounds, _: dimensions.toc_rows(rounds),
    "heads": lambda rounds, _: evaluation.head_rows(rounds, epochs=5),
    "heads-growth": lambda rounds, _: evaluation.growth_rows(rounds),
    "store": lambda rounds, _: data.store_rows(rounds, clips=800),
    "import": lambda rounds, _: data.import_rows(rounds),
}

QUICK: dict[str, Rows] = {
    "step": lambda rounds, clips: training.step_rows(rounds, clips=clips or 2),
    "quantizer": GROUPS["quantizer"],
    "toc": lambda rounds, _: dimensions.toc_rows(rounds, ((400, 256),)),
    "heads": lambda rounds, _: evaluation.head_rows(rounds, epochs=1),
    "store": lambda rounds, _: data.store_rows(rounds, clips=160),
    "import": GROUPS["import"],
}
"""Some minutes on one core: what continuous integration compares with the recorded ratios."""


def speed(
    rows: Annotated[
        str, typer.Option(help=f"Groups of rows, separated by commas: {', '.join(GROUPS)}.")
    ] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds; the table has their median.")] = 3,
    clips: Annotated[int | None, typer.Option(min=2, help="Clips of a step.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes; no growth, no GPU.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Fail if a ratio is below 0.7 of the recorded one; with --quick.")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Record the ratios of --quick.")] = False,
) -> None:
    """Measure how fast everything is, as ratios inside one run, and print one table.

    Works take turns, and a ratio is that of two works in the same round. With one thread
    (`OMP_NUM_THREADS=1`) seconds are those of the processor, so that other programs do not blur them.
    """
    if (check or record) and not quick:
        raise InputError("--check and --record without --quick", fix="add --quick")
    groups = QUICK if quick else GROUPS
    names = [name.strip() for name in rows.split(",") if name.strip()] or list(groups)
    for name in names:
        if name not in groups:
            raise unknown("group of rows", name, groups)
    print(f"{_machine()}; {rounds} round{'s' * (rounds > 1)}", flush=True)
    print(markdown_table(HEADER, []), end="", flush=True)
    measured = []
    for name in names:
        for row in groups[name](rounds, clips):
            print(f"| {' | '.join(row.cells())} |", flush=True)
            measured.append(row)
    guarded = {f"{row.name} | {row.against}": row for row in measured if row.guarded and row.values}
    if record:
        known = read_json(RECORDED) if RECORDED.exists() else {}
        known |= {key: float(f"{row.median:.3g}") for key, row in guarded.items()}
        write_json(RECORDED, dict(sorted(known.items())))
    if check:
        _check(measured)


def _check(measured: list[Row]) -> None:
    """Refuse ratios that have fallen."""
    found = fallen(measured, json.loads(RECORDED.read_text(encoding="utf-8")))
    if found:
        raise InputError(
            f"{len(found)} ratios have fallen: {'; '.join(found)}",
            where=RECORDED,
            expected="at least 0.7 of the recorded ratio",
            fix="find what became slow; if that is intended, record the ratios anew by --record",
        )
    print("no ratio is below 0.7 of the recorded one")


def _machine() -> str:
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    threads = torch.get_num_threads()
    used = f"{threads} thread{'s' * (threads > 1)}"
    return f"{name}, {os.cpu_count()} cores, {used}, {gpu}, torch {torch.__version__}"


if __name__ == "__main__":
    run_command(speed)
