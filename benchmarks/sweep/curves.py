"""Quality against the number of kept dimensions, one column of panels for each row of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.refinement.comparison import ALL
from benchmarks.sweep.cells import Cell
from benchmarks.sweep.style import INK, MUTED, Style, plain, styles
from unicode_cmg.files import atomic_file

_SHARES_BELOW = 0.4
_LINEAR_TO = 2.0


def draw_gains(table: Sequence[Cell], task: str, path: Path) -> None:
    """Draw means over the runs (above), and points above all dimensions in the same run (below).

    Bars are the standard deviation over the runs. The lower panels leave small shares out, and are linear up
    to two points and logarithmic from there. What was named first lies on top. Nothing is drawn if no
    refinement has a given size.

    Args:
        table: Of one task.
        task: Its name.
        path: Where to save the figure.
    """
    fixed = [cell for cell in table if cell.share is not None and cell.refinement != ALL]
    if not fixed:
        return
    rows = list(dict.fromkeys(cell.row for cell in table))
    names = list(dict.fromkeys(cell.refinement for cell in fixed))
    looks = styles(names)
    figure = Figure(figsize=(0.8 + 3.1 * len(rows), 7.0), layout="constrained")
    panels = figure.subplots(2, len(rows), squeeze=False, sharey="row")
    for column, row in enumerate(rows):
        above, below = panels[0, column], panels[1, column]
        whole = next(cell for cell in table if cell.row == row and cell.refinement == ALL)
        above.axhline(np.mean(whole.values), color=INK, linewidth=0.9, linestyle=":", label=ALL)
        below.axhline(0, color=INK, linewidth=0.9, linestyle=":")
        for place, (name, style) in enumerate(looks.items()):
            line = [cell for cell in fixed if (cell.row, cell.refinement) == (row, name)]
            _draw_means(above, line, style, name, order=10 - place)
            large = [cell for cell in line if (cell.share or 0) >= _SHARES_BELOW]
            _draw_gains(below, large, style, shift=5 * (place / len(names) - 0.5), order=10 - place)
        above.set_title(row, fontsize=10.5, color=INK)
        below.set_xlabel("kept dimensions, %", color=MUTED)
        below.set_yscale("symlog", linthresh=_LINEAR_TO)
        below.yaxis.set_major_formatter("{x:+g}")
        for axes in (above, below):
            plain(axes)
    panels[0, 0].set_ylabel(f"{task}, mean of the transfers", color=MUTED)
    panels[1, 0].set_ylabel("points above all dimensions", color=MUTED)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    with atomic_file(path) as scratch:
        figure.savefig(scratch, dpi=110)


def _draw_means(axes: Axes, line: Sequence[Cell], style: Style, name: str, order: int) -> None:
    axes.plot(
        [100 * (cell.share or 0) for cell in line],
        [float(np.mean(cell.values)) for cell in line],
        color=style.colour,
        marker=style.marker,
        linestyle=style.line,
        markersize=4.5,
        linewidth=1.3,
        zorder=order,
        label=name,
    )


def _draw_gains(axes: Axes, line: Sequence[Cell], style: Style, shift: float, order: int) -> None:
    """Shifted by a few percent, so that the bars of refinements of one size can be told apart."""
    axes.errorbar(
        [100 * (cell.share or 0) + shift for cell in line],
        [float(np.mean(cell.gains)) for cell in line],
        yerr=[float(np.std(cell.gains, ddof=1)) if len(cell.gains) > 1 else 0.0 for cell in line],
        color=style.colour,
        marker=style.marker,
        markersize=4.5,
        linewidth=0,
        elinewidth=0.9,
        zorder=order,
    )
