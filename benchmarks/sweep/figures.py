"""Figures of a sweep: quality against the number of kept dimensions, and curves over an axis."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.refinement import ALL
from benchmarks.sweep.config import PlotConfig
from benchmarks.sweep.summary import Curve, RefinedRow
from unicode_cmg.files import atomic_file

INK, MUTED, GRID = "#222222", "#6b6b6b", "#e8e8e8"
# colours that stay apart for colour-blind readers (Okabe and Ito, and two greys), and a marker for each
_COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#8c8c8c", "#56b4e9", "#cc79a7", "#222222", "#e69f00", "#a9772c"),
)
_MARKERS = "o^sxDPv*h"
_SHARES_BELOW = 0.4  # left out of the lower panels of `draw_gains`
_LINEAR_TO = 2.0  # points
_APART = 0.012  # of the axis, between two curves at one place


def draw_gains(rows: Sequence[RefinedRow], task: str, path: Path) -> None:
    """Draw means over the runs (above), and points above all dimensions in the same run (below).

    There is a column of panels for each row of the sweep. Bars are the standard deviation over the runs. The
    lower panels leave small shares out, and are linear up to two points and logarithmic from there. What was
    named first lies on top. Nothing is drawn if no refinement has a given size.

    Args:
        rows: Of one task.
        task: Its name.
        path: Where to save the figure.
    """
    fixed = [row for row in rows if row.share is not None and row.refinement != ALL]
    if not fixed:
        return
    columns = list(dict.fromkeys(row.row for row in rows))
    looks = _styles(row.refinement for row in fixed)
    figure = Figure(figsize=(0.8 + 3.1 * len(columns), 7.0), layout="constrained")
    panels = figure.subplots(2, len(columns), squeeze=False, sharey="row")
    for (above, below), name in zip(panels.T, columns, strict=True):
        whole = next(row for row in rows if row.row == name and row.refinement == ALL)
        above.axhline(np.mean(whole.values), color=INK, linewidth=0.9, linestyle=":", label=ALL)
        below.axhline(0, color=INK, linewidth=0.9, linestyle=":")
        for place, (refinement, style) in enumerate(looks.items()):
            line = [row for row in fixed if (row.row, row.refinement) == (name, refinement)]
            large = [row for row in line if (row.share or 0) >= _SHARES_BELOW]
            look: dict[str, Any] = {**style, "markersize": 4.5, "zorder": 10 - place}
            above.plot(
                [100 * (row.share or 0) for row in line],
                [statistics.fmean(row.values) for row in line],
                **{**look, "linewidth": 1.3, "label": refinement},
            )
            shift = 5 * (place / len(looks) - 0.5)  # percent, so that bars of one size can be told apart
            below.errorbar(
                [100 * (row.share or 0) + shift for row in large],
                [statistics.fmean(row.gains) for row in large],
                yerr=[_deviation(row.gains) for row in large],
                **{**look, "linestyle": "", "elinewidth": 0.9},
            )
        above.set_title(name, fontsize=10.5, color=INK)
        below.set_xlabel("kept dimensions, %", color=MUTED)
        below.set_yscale("symlog", linthresh=_LINEAR_TO)
        below.yaxis.set_major_formatter("{x:+g}")
        for axes in (above, below):
            _tidy(axes)
    panels[0, 0].set_ylabel(f"{task}, mean of the transfers", color=MUTED)
    panels[1, 0].set_ylabel("points above all dimensions", color=MUTED)
    _save(figure, panels[0, 0], path)


def draw_curves(curves: Sequence[Curve], plot: PlotConfig, task: str, path: Path) -> None:
    """Draw the quality of each curve, and, if there is anything to compare with, the points above that.

    Pale dots are the runs, bars their sample standard deviation. Curves stand side by side at each place, and
    what was named first lies on top.

    Args:
        curves: Of one task.
        plot: What the sweep file says.
        task: Its name.
        path: Where to save the figure.
    """
    looks = _styles(curve.name for curve in curves)
    compared = any(point.gains for curve in curves for point in curve.points)
    figure = Figure(figsize=(9.6 if compared else 5.4, 4.6), layout="constrained")
    panels = figure.subplots(1, 2 if compared else 1, squeeze=False)[0]
    places = sorted({point.at for curve in curves for point in curve.points})
    for axes in panels:
        _tidy(axes)
        axes.set_xscale(plot.scale)
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(plot.x, color=MUTED)
    if task in plot.chance:
        panels[0].axhline(plot.chance[task], color=INK, linewidth=0.9, linestyle=":", label="chance")
    panels[0].set_ylabel(f"{task}, mean of the transfers", color=MUTED)
    if compared:
        panels[1].axhline(0, color=INK, linewidth=0.9, linestyle=":")
        panels[1].yaxis.set_major_formatter("{x:+g}")
        panels[1].set_ylabel(f"points above {plot.against}, seed by seed", color=MUTED)
    for number, curve in enumerate(curves):
        at = [point.at for point in curve.points]
        shift = _APART * (number - (len(curves) - 1) / 2)
        if plot.scale == "log":
            beside = [place * (max(at) / min(at)) ** shift for place in at]
        else:
            beside = [place + (max(at) - min(at)) * shift for place in at]
        look: dict[str, Any] = {**looks[curve.name], "label": curve.name}
        _draw_runs(panels[0], beside, [point.values for point in curve.points], look, 20 - number)
        if any(point.gains for point in curve.points):
            _draw_runs(panels[1], beside, [point.gains for point in curve.points], look, 20 - number)
    _save(figure, panels[0], path)


def _draw_runs(
    axes: Axes, at: Sequence[float], runs: Sequence[Sequence[float]], look: dict[str, Any], order: int
) -> None:
    axes.errorbar(
        at,
        [statistics.fmean(values) for values in runs],
        yerr=[_deviation(values) for values in runs],
        **{**look, "markersize": 5, "linewidth": 1.4, "elinewidth": 1.0, "zorder": order},
    )
    axes.scatter(
        [place for place, values in zip(at, runs, strict=True) for _ in values],
        [value for values in runs for value in values],
        **{"s": 9, "color": look["color"], "alpha": 0.35, "linewidths": 0, "zorder": order - 0.5},
    )


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _styles(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """How the line of each name is drawn; looks repeat after twice as many names as there are colours."""
    looks = cycle(product(("-", "--"), zip(_COLOURS, _MARKERS, strict=True)))
    return {
        name: {"color": colour, "marker": marker, "linestyle": line}
        for name, (line, (colour, marker)) in zip(dict.fromkeys(names), looks, strict=False)
    }


def _tidy(axes: Axes) -> None:
    """Take away what is not data, and add light lines to read values by."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _save(figure: Figure, labelled: Axes, path: Path) -> None:
    handles, labels = labelled.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    with atomic_file(path) as scratch:
        figure.savefig(scratch, dpi=110)
