"""The curves of a sweep: a quality over the axis that the sweep file plots, run by run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.sweep.plot import Layout
from benchmarks.sweep.rows import Row, TrainedRow
from benchmarks.sweep.runs import Direction, Outcome


@dataclass(frozen=True)
class Point:
    """One place of a curve.

    Attributes:
        option: Name of the option that stands there.
        at: Where that is.
        values: Percent, mean over the transfer directions; one for each run.
        gains: Points above the curve it is compared with, seed by seed; empty if there is none.
    """

    option: str
    at: float
    values: tuple[float, ...]
    gains: tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        name: The options that all of its points share, and how the codes are read.
        points: By their place.
    """

    name: str
    points: tuple[Point, ...]


def series(rows: Sequence[Row], outcomes: Sequence[Outcome], layout: Layout, task: str) -> list[Series]:
    """The curves of one task, in the order of the sweep.

    Args:
        rows: The sweep's; those that it does not train are on no axis, and on no curve.
        outcomes: Of the rows.
        layout: Of the plot.
        task: Its name.
    """
    scores: dict[str, dict[int, float]] = {}
    for outcome in outcomes:
        scores.setdefault(outcome.row, {})[outcome.seed] = transfer(outcome.scores[task])
    trained = {row.options: row for row in rows if isinstance(row, TrainedRow)}
    curves: dict[str, list[Point]] = {}
    for options, row in trained.items():
        base = trained[layout.base(options)]
        option = options[layout.over]
        for read in row.read:
            values = scores[row.label(read)]
            others = {} if base is row else scores.get(base.label(read), {})
            gains = tuple(value - others[seed] for seed, value in values.items() if seed in others)
            name = ", ".join([*layout.curve(options), *([read] if read else [])])
            point = Point(option, layout.at[option], tuple(values.values()), gains)
            curves.setdefault(name, []).append(point)
    return [Series(name, tuple(sorted(points, key=lambda p: p.at))) for name, points in curves.items()]


def transfer(scores: Mapping[Direction, float]) -> float:
    """Mean over the directions between two modalities, or over all if there are none."""
    crossing = [value for (source, target), value in scores.items() if source != target]
    return statistics.fmean(crossing or scores.values())
