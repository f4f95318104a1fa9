"""The curves of a sweep as a figure: every run, and the mean over runs with its deviation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.sweep.plot import PlotConfig
from benchmarks.sweep.series import Series
from benchmarks.sweep.style import INK, MUTED, Style, plain, styles
from unicode_cmg.files import atomic_file

_APART = 0.012  # of the axis, between two curves at one place


def draw_series(curves: Sequence[Series], plot: PlotConfig, task: str, path: Path) -> None:
    """Draw the quality of each curve, and, if there is anything to compare with, the points above that.

    Pale dots are the runs, bars their sample standard deviation. Curves stand side by side at each place, and
    what was named first lies on top.

    Args:
        curves: Of one task.
        plot: What the sweep file says.
        task: Its name.
        path: Where to save the figure.
    """
    looks = styles(curve.name for curve in curves)
    compared = [curve for curve in curves if any(point.gains for point in curve.points)]
    figure = Figure(figsize=(9.6 if compared else 5.4, 4.6), layout="constrained")
    panels = figure.subplots(1, 2 if compared else 1, squeeze=False)[0]
    _place(panels[0], curves, plot)
    if task in plot.chance:
        panels[0].axhline(plot.chance[task], color=INK, linewidth=0.9, linestyle=":", label="chance")
    panels[0].set_ylabel(f"{task}, mean of the transfers", color=MUTED)
    for number, curve in enumerate(curves):
        at = _beside(curve, plot, _APART * (number - (len(curves) - 1) / 2))
        style, order = looks[curve.name], 20 - number
        _draw(panels[0], at, [point.values for point in curve.points], style, curve.name, order)
        if curve in compared:
            _draw(panels[1], at, [point.gains for point in curve.points], style, curve.name, order)
    if compared:
        _place(panels[1], curves, plot)
        panels[1].axhline(0, color=INK, linewidth=0.9, linestyle=":")
        panels[1].yaxis.set_major_formatter("{x:+g}")
        panels[1].set_ylabel(f"points above {plot.against}, seed by seed", color=MUTED)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    with atomic_file(path) as scratch:
        figure.savefig(scratch, dpi=110)


def _place(axes: Axes, curves: Sequence[Series], plot: PlotConfig) -> None:
    plain(axes)
    places = sorted({point.at for curve in curves for point in curve.points})
    axes.set_xscale(plot.scale)
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(plot.x, color=MUTED)


def _beside(curve: Series, plot: PlotConfig, shift: float) -> list[float]:
    """The places of a curve, moved by a share of the axis."""
    at = [point.at for point in curve.points]
    if plot.scale == "log":
        return [place * (max(at) / min(at)) ** shift for place in at]
    return [place + (max(at) - min(at)) * shift for place in at]


def _draw(
    axes: Axes, at: Sequence[float], runs: Sequence[Sequence[float]], style: Style, name: str, order: int
) -> None:
    axes.errorbar(
        at,
        [statistics.fmean(values) for values in runs],
        yerr=[statistics.stdev(values) if len(values) > 1 else 0.0 for values in runs],
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        markersize=5,
        linewidth=1.4,
        elinewidth=1.0,
        zorder=order,
        label=name,
    )
    axes.scatter(
        [place for place, values in zip(at, runs, strict=True) for _ in values],
        [value for values in runs for value in values],
        s=9,
        color=style.colour,
        alpha=0.35,
        linewidths=0,
        zorder=order - 0.5,
    )
