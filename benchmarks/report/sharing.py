"""Who uses which code: shared by all modalities, by some, or owned by one (FCID paper, figures 6 and 7)."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from benchmarks.report.svg import SERIES, css_colour, inline_svg, page_style, series_slot
from unicode_cmg.inspect.codes.sharing import BETWEEN, SHARED, SINGLE, UNUSED, Sharing


def draw_sharing(sharing: Sharing) -> tuple[Markup, list[tuple[str, str]]]:
    """Stacked bars, one a used code, by kind and then by the first modality's part; and their legend."""
    rank = {SHARED: 0, BETWEEN: 1, SINGLE: 2}
    used = [code for code, kind in enumerate(sharing.kinds) if kind != UNUSED]
    used.sort(key=lambda code: (rank[sharing.kinds[code]], *-sharing.parts[code]))
    parts = sharing.parts[used]
    legend = []
    with page_style():
        figure = Figure(figsize=(8.2, 1.7), layout="constrained")
        axes = figure.subplots()
        base = np.zeros(len(used))
        gap = 0.88 if len(used) <= 150 else 1.0
        for column, modality in enumerate(sharing.modalities):
            colour = SERIES[series_slot(modality, sharing.modalities)]
            axes.bar(np.arange(len(used)) + 0.5, parts[:, column], gap, base, color=colour, linewidth=0)
            legend.append((modality, css_colour(colour)))
            base += parts[:, column]
        axes.set_xlim(0, max(len(used), 1))
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        axes.set_xlabel("used codes, from shared to single")
        axes.grid(visible=False, axis="x")
        svg = inline_svg(
            figure, f"Part of {', '.join(sharing.modalities)} in each of the {len(used)} used codes"
        )
    return svg, legend
