"""The curves of a sweep as tables, and everything about them on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.sweep.plan import SweepConfig
from benchmarks.sweep.plot import PlotConfig
from benchmarks.sweep.refinements import signed
from benchmarks.sweep.rows import Row
from benchmarks.sweep.runs import Outcome
from benchmarks.sweep.series import Point, Series, series
from benchmarks.sweep.series_figure import draw_series
from benchmarks.sweep.table import markdown, mean_std
from unicode_cmg.files import write_text


def series_tables(curves: Sequence[Series], plot: PlotConfig, task: str) -> str:
    """A line for each curve: mean over the runs ± their deviation; then the same of points above a curve."""
    parts = [
        f"{task}, mean of the transfers, by {plot.x}",
        _table(curves, lambda point: mean_std(point.values)),
    ]
    compared = [curve for curve in curves if any(point.gains for point in curve.points)]
    if compared:
        parts += [
            f"{task}, points above {plot.against}, seed by seed, by {plot.x}",
            _table(compared, lambda point: signed(point.gains) if point.gains else ""),
        ]
    return "\n".join(parts)


def _table(curves: Sequence[Series], cell: Callable[[Point], str]) -> str:
    options = [point.option for point in curves[0].points]
    lines = [[curve.name, *(cell(point) for point in curve.points)] for curve in curves]
    return markdown(["", *options], lines)


def save_series(to: Path, sweep: SweepConfig, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
    """Write `curves.md` and a figure for each task, if the sweep file has a `plot`; print the tables."""
    layout = sweep.layout()
    if sweep.plot is None or layout is None:
        return
    parts = []
    for task in sweep.tasks:
        curves = series(rows, outcomes, layout, task)
        parts.append(series_tables(curves, sweep.plot, task))
        draw_series(curves, sweep.plot, task, to / f"curves-{task}.png")
    tables = "\n".join(parts)
    write_text(to / "curves.md", tables)
    print(f"\n{tables}\nwritten to {to / 'curves.md'} and curves-*.png")
