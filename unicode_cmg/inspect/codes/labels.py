"""Words beside dots, where there is room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from unicode_cmg.inspect.codes.layout import Dots

_MOST = 16
_SIDES = (
    ("left", "center", 1, 0),
    ("right", "center", -1, 0),
    ("center", "bottom", 0, 1),
    ("center", "top", 0, -1),
)


def name_dots(figure: Figure, axes: Axes, dots: Dots, names: Sequence[str]) -> None:
    """Write names beside the largest dots that have one, on the first side where nothing is covered.

    The figure must be complete but for these names: they are measured as it will be drawn.
    """
    figure.draw_without_rendering()
    boxes = [
        Bbox(axes.transData.transform([centre - radius, centre + radius]))
        for centre, radius in zip(dots.centres, dots.radii, strict=True)
    ]
    named = [i for i in np.argsort(-dots.radii, kind="stable").tolist() if names[i]]
    for i in named[:_MOST]:
        for horizontal, vertical, right, up in _SIDES:
            offset = dots.radii[i] * np.array([right, up])
            text = axes.annotate(
                names[i],
                tuple((dots.centres[i] + offset).tolist()),
                (2 * right, 2 * up),
                textcoords="offset points",
                horizontalalignment=horizontal,
                verticalalignment=vertical,
                fontsize=9,
                zorder=4,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in boxes):
                boxes.append(box)
                break
            text.remove()
