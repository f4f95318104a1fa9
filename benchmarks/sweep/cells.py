"""Refinements of one task over the runs of a sweep: what tables and figures show."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.refinement.comparison import ALL, RefinedResult
from benchmarks.sweep.runs import Outcome


@dataclass(frozen=True)
class Cell:
    """One refinement of one size in one row of the sweep: means over the transfer directions, run by run.

    Attributes:
        row: Of the sweep.
        refinement: Its name.
        share: Kept share of the dimensions as it was asked for; None where the size is not given but found.
        kept: Kept dimensions of each run; the mean where directions differ.
        n_dims: Of all dimensions.
        values: The metric of each run.
        gains: Points above all dimensions in the same run.
    """

    row: str
    refinement: str
    share: float | None
    kept: tuple[float, ...]
    n_dims: int
    values: tuple[float, ...]
    gains: tuple[float, ...]


def cells(outcomes: Sequence[Outcome], task: str) -> list[Cell]:
    """Every refinement and size of one task, all dimensions first, in the order of the sweep."""
    found = []
    for row in dict.fromkeys(outcome.row for outcome in outcomes):
        runs = [_transfers(o.refined[task]) for o in outcomes if o.row == row]
        for name, asked in runs[0]:
            parts = [run[name, asked] for run in runs]
            values = [statistics.fmean(r.mean for r in part) for part in parts]
            whole = [statistics.fmean(r.mean for r in run[ALL, None]) for run in runs]
            first = parts[0][0]
            given = isinstance(asked, (int, float)) or name == ALL
            found.append(
                Cell(
                    row=row,
                    refinement=name if asked != "auto" else f"{name}, auto",
                    share=first.kept / first.n_dims if given else None,
                    kept=tuple(statistics.fmean(r.kept for r in part) for part in parts),
                    n_dims=first.n_dims,
                    values=tuple(values),
                    gains=tuple(value - base for value, base in zip(values, whole, strict=True)),
                )
            )
    return found


def _transfers(rows: Sequence[RefinedResult]) -> dict[tuple[str, Any], list[RefinedResult]]:
    """(refinement, asked size) -> its directions between two modalities, or all if there are no such."""
    crossing = [row for row in rows if row.source != row.target] or list(rows)
    grouped: dict[tuple[str, Any], list[RefinedResult]] = {}
    for row in crossing:
        grouped.setdefault((row.refinement, row.asked), []).append(row)
    return grouped
