"""Tables of a sweep, Markdown for people and CSV or parquet for programs, and all files of its results."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.markdown import markdown_table
from benchmarks.refinement import ALL
from benchmarks.sweep.code_figures import SAME_CODE, in_columns
from benchmarks.sweep.config import PlotConfig, SweepConfig
from benchmarks.sweep.rows import Row
from benchmarks.sweep.runs import Outcome
from benchmarks.sweep.summary import Curve, Point, RefinedRow, curves, refined_rows
from unicode_cmg.console import show
from unicode_cmg.data_frame import data_frame
from unicode_cmg.files import atomic_file, csv_cell, write_text

REFINEMENTS = pa.schema(
    [
        *(("row", pa.string()), ("seed", pa.int64()), ("task", pa.string())),
        *(("source", pa.string()), ("target", pa.string()), ("refinement", pa.string())),
        *(("asked", pa.string()), ("kept", pa.int64()), ("n_dims", pa.int64()), ("metric", pa.string())),
        *(("mean", pa.float64()), ("std", pa.float64()), ("selection", pa.float64())),
    ]
)
"""Columns of the long table: row of the sweep, run and task, and the fields of `RefinedResult`."""


_COLUMNS = ("row", "seed", "measure", "source", "target", "value")
_Column = tuple[str, tuple[str, str]]
_WIDEST = 12  # columns of scores


def mean_std(values: Sequence[float], digits: int = 1, *, signed: bool = False) -> str:
    """`mean ± sample standard deviation`; of differences, the mean with its sign."""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{'+' if signed else ''}.{digits}f}{spread}"


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """One line a row: for each task and direction the mean over pretraining seeds, ± their deviation.

    Rows of other tasks or directions have a table of their own. Where one table would be too wide to read,
    each task has one.
    """
    parts: dict[tuple[_Column, ...], list[Outcome]] = {}
    for o in outcomes:
        columns = tuple((task, pair) for task, by_direction in o.scores.items() for pair in by_direction)
        parts.setdefault(columns, []).append(o)
    tables = []
    for columns, part in parts.items():
        tasks = list(dict.fromkeys(task for task, _ in columns))
        if len(columns) <= _WIDEST:
            tables.append(_score_table("", columns, part, several=len(tasks) > 1))
        else:
            for name in tasks:
                own = [column for column in columns if column[0] == name]
                tables.append(_score_table(name, own, part, several=False))
    return "\n".join(tables)


def _score_table(
    title: str, columns: Sequence[_Column], outcomes: Sequence[Outcome], *, several: bool
) -> str:
    shared = any(SAME_CODE in o.figures for o in outcomes)
    header = [
        title,
        "seeds",
        *(f"{task + ' ' if several else ''}{s[0].upper()}->{t[0].upper()}" for task, (s, t) in columns),
        *(["same code"] if shared else []),
        "seconds",
    ]
    lines = []
    for name in dict.fromkeys(o.row for o in outcomes):
        runs = [o for o in outcomes if o.row == name]
        cells = [mean_std([o.scores[task][direction] for o in runs]) for task, direction in columns]
        same = [o.figures[SAME_CODE] for o in runs if SAME_CODE in o.figures]
        if shared:
            cells.append(mean_std(same) if same else "not measured")
        seconds = [o.seconds for o in runs if o.seconds is not None]
        cells.append(f"{statistics.median(seconds):.0f}" if seconds else "not measured")
        lines.append([name, str(len(runs)), *cells])
    return markdown_table(header, lines)


def figure_table(outcomes: Sequence[Outcome]) -> str:
    """One line a row: what its codes tell, mean over pretraining seeds, ± their deviation.

    Same codes are those of event seconds. All but these are means over the modalities and, of the specific
    features, over the parts of the method; `table.csv` has every single one.
    """
    found = [(o.row, in_columns(o.figures)) for o in outcomes]
    columns = list(dict.fromkeys(column for _, figures in found for column in figures))
    lines = []
    for name in dict.fromkeys(o.row for o in outcomes):
        runs = [figures for row, figures in found if row == name]
        given = ([figures[c] for figures in runs if c in figures] for c in columns)
        lines.append([name, *(mean_std(values) if values else "-" for values in given)])
    return markdown_table(["", *columns], lines) if columns else ""


def outcome_csv(outcomes: Sequence[Outcome]) -> str:
    """One line for each number: row, seed, measure, source, target, value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(map(csv_cell, line) for line in _lines(outcomes))
    return text.getvalue()


def outcome_frame(outcomes: Sequence[Outcome]) -> Any:
    """The lines of `outcome_csv` as a `pandas.DataFrame`.

    Raises:
        InputError: pandas is not installed.
    """
    return data_frame(dict(zip(_COLUMNS, line, strict=True)) for line in _lines(outcomes))


def _lines(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, int, str, str, str, float]]:
    for o in outcomes:
        for task, by_direction in o.scores.items():
            for (source, target), value in by_direction.items():
                yield o.row, o.seed, task, source, target, value
        for name, value in o.figures.items():
            kind, _, of = name.partition(", ")
            source, _, target = of.partition("-")
            yield o.row, o.seed, kind, source, target, value
        if o.seconds is not None:
            yield o.row, o.seed, "seconds", "", "", o.seconds


def refinement_lines(outcomes: Sequence[Outcome]) -> pa.Table:
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
    return pa.Table.from_pylist(lines, schema=REFINEMENTS)


def gain_tables(outcomes: Sequence[Outcome]) -> str:
    """For each task: points above all dimensions by share of kept dimensions, then sizes that were found."""
    parts = []
    for task in dict.fromkeys(task for o in outcomes for task in o.refined):
        rows = refined_rows(outcomes, task)
        metric = next(o.refined[task] for o in outcomes if task in o.refined)[0].metric.replace("_", " ")
        shares = sorted({r.share for r in rows if r.share is not None and r.refinement != ALL})
        if shares:
            header = ["", "", *(f"{100 * share:.3g} %" for share in shares)]
            parts += [
                f"{task}, {metric} over the transfers: points above all dimensions by share kept",
                markdown_table(header, _by_share(rows, shares)),
            ]
        found = [
            [
                *(r.row, r.refinement, f"{mean_std(r.kept)} of {r.n_dims}"),
                *(mean_std(r.values), mean_std(r.gains, signed=True)),
            ]
            for r in rows
            if r.share is None
        ]
        if found:
            parts += [
                f"{task}, {metric} over the transfers: sizes that are found",
                markdown_table(["", "", "kept", metric, "above all dimensions"], found),
            ]
    return "\n".join(parts)


def _by_share(rows: Sequence[RefinedRow], shares: Sequence[float]) -> Iterator[list[str]]:
    for name in dict.fromkeys(row.row for row in rows):
        whole, *others = (row for row in rows if row.row == name)
        yield [f"**{name}**", f"{ALL}: {mean_std(whole.values)}", *[""] * len(shares)]
        by_share = {(row.refinement, row.share): row.gains for row in others if row.share is not None}
        for refinement in dict.fromkeys(refinement for refinement, _ in by_share):
            gains = (by_share.get((refinement, share)) for share in shares)
            yield ["", refinement, *(mean_std(g, signed=True) if g else "" for g in gains)]


def curve_tables(curves: Sequence[Curve], plot: PlotConfig, task: str) -> str:
    """A line for each curve: mean over the runs ± their deviation; then the same of points above a curve."""

    def table(curves: Sequence[Curve], cell: Callable[[Point], str]) -> str:
        options = [point.option for point in curves[0].points]
        return markdown_table(["", *options], [[curve.name, *map(cell, curve.points)] for curve in curves])

    parts = [
        f"{task}, mean of the transfers, by {plot.x}",
        table(curves, lambda point: mean_std(point.values)),
    ]
    compared = [curve for curve in curves if any(point.gains for point in curve.points)]
    if compared:
        parts += [
            f"{task}, points above {plot.against}, seed by seed, by {plot.x}",
            table(compared, lambda point: mean_std(point.gains, signed=True) if point.gains else ""),
        ]
    return "\n".join(parts)


def save_outcomes(
    to: Path, outcomes: Sequence[Outcome], sweep: SweepConfig | None = None, rows: Sequence[Row] = ()
) -> None:
    """Write the tables and figures of a sweep into a folder, and print the tables.

    Args:
        to: The folder. `table.md` and `.csv` hold the outcomes; `codes.md` what the codes tell;
            `refinements.md`, `.csv` and `.parquet` and a figure for each task what the refinements gain;
            `curves.md` and a figure for each task the curves.
        outcomes: Of the runs.
        sweep: Says whether there are refinements and a plot; None: neither.
        rows: Of the sweep.
    """
    from benchmarks.sweep.figures import draw_curves, draw_gains  # here, because matplotlib takes a second

    table = outcome_table(outcomes)
    if sweep is not None and sweep.protocol != "held-out":
        table += f"\nprotocol {sweep.protocol}: these numbers have the leaks that `evaluate` lists for it\n"
    write_text(to / "table.md", table)
    write_text(to / "table.csv", outcome_csv(outcomes))
    show(f"\n{table}\nwritten to {to / 'table.md'} and table.csv")
    if figures := figure_table(outcomes):
        write_text(to / "codes.md", figures)
        show(f"\n{figures}\nwritten to {to / 'codes.md'}")
    if sweep is not None and sweep.refine:
        lines = refinement_lines(outcomes)
        with atomic_file(to / "refinements.csv") as path:
            pyarrow.csv.write_csv(lines, path)
        with atomic_file(to / "refinements.parquet") as path:
            pq.write_table(lines, path)
        for task in dict.fromkeys(task for o in outcomes for task in o.refined):
            draw_gains(refined_rows(outcomes, task), task, to / f"refinements-{task}.png")
        write_text(to / "refinements.md", tables := gain_tables(outcomes))
        show(f"\n{tables}\nwritten to {to / 'refinements.md'}, .csv and .parquet, and refinements-*.png")
    if sweep is not None and (layout := sweep.layout()) is not None:
        parts = []
        for task in dict.fromkeys(task for o in outcomes for task in o.scores):
            found = curves(rows, outcomes, layout, task)
            parts.append(curve_tables(found, layout.plot, task))
            draw_curves(found, layout.plot, task, to / f"curves-{task}.png")
        write_text(to / "curves.md", tables := "\n".join(parts))
        show(f"\n{tables}\nwritten to {to / 'curves.md'} and curves-*.png")
