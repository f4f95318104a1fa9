"""What the tables and figures of a sweep show of its runs: refinements, and curves over an axis."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.refinement import ALL, RefinedResult
from benchmarks.sweep.config import Layout
from benchmarks.sweep.rows import Row, TrainedRow
from benchmarks.sweep.runs import Outcome


@dataclass(frozen=True)
class RefinedRow:
    """One refinement of one size in one row of the sweep: means over the transfer directions, run by run.

    Attributes:
        row: Name of the row.
        refinement: Its name.
        share: Kept share of the dimensions as it was asked for; None where the refinement finds the size.
        kept: Kept dimensions of each run; the mean where directions differ.
        n_dims: Number of all dimensions.
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


def refined_rows(outcomes: Sequence[Outcome], task: str) -> list[RefinedRow]:
    """Every refinement and size of one task, all dimensions first, in the order of the sweep."""
    found = []
    outcomes = [outcome for outcome in outcomes if task in outcome.refined]
    for row in dict.fromkeys(outcome.row for outcome in outcomes):
        runs = [_transfers(o.refined[task]) for o in outcomes if o.row == row]
        whole = [statistics.fmean(r.mean for r in run[ALL, None]) for run in runs]
        for name, asked in runs[0]:
            parts = [run[name, asked] for run in runs]
            values = [statistics.fmean(r.mean for r in part) for part in parts]
            first = parts[0][0]
            given = isinstance(asked, (int, float)) or name == ALL
            found.append(
                RefinedRow(
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


@dataclass(frozen=True)
class Point:
    """One place of a curve.

    Attributes:
        option: Name of the option at this place.
        at: Its position on the horizontal axis.
        values: Percent, mean over the transfer directions; one for each run.
        gains: Points above the curve it is compared with, seed by seed; empty if there is none.
    """

    option: str
    at: float
    values: tuple[float, ...]
    gains: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A quality over the axis that the sweep file plots.

    Attributes:
        name: The options that all of its points share, and the selection of code layers.
        points: In the order of their positions.
    """

    name: str
    points: tuple[Point, ...]


def curves(rows: Sequence[Row], outcomes: Sequence[Outcome], layout: Layout, task: str) -> list[Curve]:
    """The curves of one task, in the order of the sweep.

    Args:
        rows: Of the sweep; saved models are on no axis, and so on no curve.
        outcomes: Of the rows.
        layout: Of the plot.
        task: Its name.
    """
    scores: dict[str, dict[int, float]] = {}
    for outcome in (o for o in outcomes if task in o.scores):
        scores.setdefault(outcome.row, {})[outcome.seed] = transfer(outcome.scores[task])
    trained = {row.options: row for row in rows if isinstance(row, TrainedRow)}
    points: dict[str, list[Point]] = {}
    for options, row in trained.items():
        base = trained[layout.base(options)]
        option = options[layout.over]
        for read in row.read:
            if (values := scores.get(row.label(read))) is None:
                continue  # a row with tasks of its own
            others = {} if base is row else scores.get(base.label(read), {})
            gains = tuple(value - others[seed] for seed, value in values.items() if seed in others)
            name = ", ".join([*layout.curve(options), *([read] if read else [])])
            point = Point(option, layout.at[option], tuple(values.values()), gains)
            points.setdefault(name, []).append(point)
    return [Curve(name, tuple(sorted(found, key=lambda p: p.at))) for name, found in points.items()]


def transfer(scores: Mapping[tuple[str, str], float]) -> float:
    """Mean over the directions between two modalities, or over all if there are none."""
    crossing = [value for (source, target), value in scores.items() if source != target]
    return statistics.fmean(crossing or scores.values())
