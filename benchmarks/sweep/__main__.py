"""The command: python -m benchmarks.sweep SWEEP.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.console import run_command
from benchmarks.sweep.plan import load_sweep
from benchmarks.sweep.runs import Measurements, Outcome, run_rows
from benchmarks.sweep.table import outcome_table, save_table
from unicode_cmg.errors import InputError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="What to vary, such as configs/sweeps/quantizers.yaml.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data sets and the feature store 'pretrain'.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder of runs and table.", show_default="runs/ and the file's name")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Pretraining seeds, instead of the file's.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
) -> None:
    """Evaluate every variant and checkpoint a sweep file names, pretrain those that are not there, and print
    the tables.

    Interrupted, the same command goes on where it was.
    """
    to = to or Path("runs") / file.stem
    outcomes = run_sweep(file, data=data, to=to, seeds=seeds, workers=workers, threads=threads)
    save_table(to, outcome_table(outcomes), outcomes)
    plan, rows = load_sweep(file)
    if plan.refine:
        from benchmarks.sweep.refinements import save_refinements

        save_refinements(to, outcomes)
    if plan.plot is not None:
        from benchmarks.sweep.series_tables import save_series

        save_series(to, plan, rows, outcomes)


def run_sweep(
    file: Path, *, data: Path | None, to: Path, seeds: str | None, workers: int, threads: int
) -> list[Outcome]:
    """The outcomes of a sweep file, see the command.

    Raises:
        InputError: The file, the data or the folder does not fit.
    """
    plan, rows = load_sweep(file)
    return run_rows(
        rows,
        plan.seeds if seeds is None else _numbers(seeds),
        data=_data(plan.digits, data, to),
        to=to,
        measure=Measurements(
            tasks=plan.tasks,
            directions=plan.directions,
            report=plan.report,
            head=plan.head,
            head_seeds=plan.head_seeds,
            refine=plan.refine,
            choose=plan.choose,
        ),
        workers=workers,
        threads=threads,
    )


def _data(digits: str | None, given: Path | None, to: Path) -> Path:
    """The folder of the data; the digits are written once."""
    if given is not None:
        return given
    if digits is None:
        raise InputError("no data", where="--data", expected="the folder of the data sets")
    root = to / f"data-{digits}"
    if not (root / "digits.json").exists():
        from unicode_cmg.data.digits import write_digits

        write_digits(root, recipe=digits, seed=0)
    return root


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"cannot read '{text}'", where="--seeds", expected="whole numbers such as 0,1,2"
        ) from None


if __name__ == "__main__":
    run_command(app)
