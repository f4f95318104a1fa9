"""How the figures of sweeps look."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle, product
from typing import NamedTuple

from matplotlib.axes import Axes

INK, MUTED, GRID = "#222222", "#6b6b6b", "#e8e8e8"
# colours that stay apart for colour-blind readers (Okabe and Ito, and two greys), and a marker for each
_COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#8c8c8c", "#56b4e9", "#cc79a7", "#222222", "#e69f00", "#a9772c"),
)
_MARKERS = "o^sxDPv*h"


class Style(NamedTuple):
    """How one line is drawn."""

    colour: str
    marker: str
    line: str


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name; they repeat after twice as many names as there are colours."""
    looks = cycle(product(("-", "--"), zip(_COLOURS, _MARKERS, strict=True)))
    return {n: Style(colour, marker, line) for n, (line, (colour, marker)) in zip(names, looks, strict=False)}


def plain(axes: Axes) -> None:
    """Take away what is not data, and add light lines to read values by."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
