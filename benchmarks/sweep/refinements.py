"""What refinements gain over all dimensions: one long table for programs, short ones for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.refinement.comparison import ALL
from benchmarks.sweep.cells import Cell, cells
from benchmarks.sweep.curves import draw_gains
from benchmarks.sweep.runs import Outcome
from benchmarks.sweep.table import markdown, mean_std
from unicode_cmg.files import atomic_file, write_text

TIDY = pa.schema(
    [
        *(("row", pa.string()), ("seed", pa.int64()), ("task", pa.string())),
        *(("source", pa.string()), ("target", pa.string()), ("refinement", pa.string())),
        *(("asked", pa.string()), ("kept", pa.int64()), ("n_dims", pa.int64()), ("metric", pa.string())),
        *(("mean", pa.float64()), ("std", pa.float64()), ("selection", pa.float64())),
    ]
)
"""Columns of the long table: row of the sweep, run and task, and the fields of `RefinedResult`."""


def tidy_table(outcomes: Sequence[Outcome]) -> pa.Table:
    """One line for each run, task, direction, refinement and size."""
    lines = [
        {
            **{"row": outcome.row, "seed": outcome.seed, "task": task},
            **refined.model_dump(),
            "asked": None if refined.asked is None else str(refined.asked),
        }
        for outcome in outcomes
        for task, rows in outcome.refined.items()
        for refined in rows
    ]
    return pa.Table.from_pylist(lines, schema=TIDY)


def gain_tables(outcomes: Sequence[Outcome]) -> str:
    """For each task: points above all dimensions by share of kept dimensions, then sizes that were found."""
    parts = []
    for task in outcomes[0].refined:
        table = cells(outcomes, task)
        metric = next(iter(outcomes[0].refined[task])).metric.replace("_", " ")
        shares = sorted({c.share for c in table if c.share is not None and c.refinement != ALL})
        if shares:
            header = ["", "", *(f"{100 * share:.3g} %" for share in shares)]
            parts += [
                f"{task}, {metric} over the transfers: points above all dimensions by share kept",
                markdown(header, _by_share(table, shares)),
            ]
        found = [c for c in table if c.share is None]
        if found:
            parts += [
                f"{task}, {metric} over the transfers: sizes that are found",
                markdown(["", "", "kept", metric, "above all dimensions"], map(_found, found)),
            ]
    return "\n".join(parts)


def _by_share(table: Sequence[Cell], shares: Sequence[float]) -> Iterator[list[str]]:
    for row in dict.fromkeys(cell.row for cell in table):
        mine = [cell for cell in table if cell.row == row]
        whole = next(cell for cell in mine if cell.refinement == ALL)
        yield [f"**{row}**", f"{ALL}: {mean_std(whole.values)}", *[""] * len(shares)]
        fixed = [cell for cell in mine if cell.share is not None and cell.refinement != ALL]
        for name in dict.fromkeys(cell.refinement for cell in fixed):
            by_share = {cell.share: cell for cell in fixed if cell.refinement == name}
            gains = (signed(by_share[share].gains) if share in by_share else "" for share in shares)
            yield ["", name, *gains]


def _found(cell: Cell) -> list[str]:
    kept = f"{mean_std(cell.kept)} of {cell.n_dims}"
    return [cell.row, cell.refinement, kept, mean_std(cell.values), signed(cell.gains)]


def signed(values: Sequence[float]) -> str:
    """`mean ± sample standard deviation` of differences, to one decimal."""
    text = mean_std(values)
    return text if text.startswith("-") else f"+{text}"


def save_refinements(to: Path, outcomes: Sequence[Outcome]) -> None:
    """Write `refinements.csv`, `.parquet`, `.md` and a figure for each task; print the tables."""
    tidy = tidy_table(outcomes)
    with atomic_file(to / "refinements.csv") as path:
        pyarrow.csv.write_csv(tidy, path)
    with atomic_file(to / "refinements.parquet") as path:
        pq.write_table(tidy, path)
    tables = gain_tables(outcomes)
    write_text(to / "refinements.md", tables)
    for task in outcomes[0].refined:
        draw_gains(cells(outcomes, task), task, to / f"refinements-{task}.png")
    print(f"\n{tables}\nwritten to {to / 'refinements.md'}, .csv and .parquet, and refinements-*.png")
