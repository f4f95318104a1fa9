"""Matplotlib figures as inline SVG in the colours and the font of the page, light or dark."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

# Colours a figure is drawn in; each is replaced by the CSS variable of the page's style sheet.
INK, MUTED, GRID = "#010203", "#010204", "#010205"
SERIES = tuple(f"#0102{value:02x}" for value in range(0x10, 0x18))
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--line"} | {
    colour: f"--series-{slot}" for slot, colour in enumerate(SERIES)
}
# Pictures inside an SVG cannot take the page's colours: middle tones that read on white and on black.
_HEAT = ("#d9701a", "#3b7cf0", "#179a68", "#9a5fd4", "#d24a7a", "#179aa5", "#a08428", "#6f7984")
_KNOWN_MODALITIES = ("audio", "video", "text")

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unicode-cmg",
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "lines.linewidth": 1.4,
    "figure.dpi": 144,
    "savefig.transparent": True,
}
in_page_style = rc_context(_STYLE)
"""Decorates functions that draw in the colours that `inline_svg` replaces."""


def series_slot(modality: str, modalities: Sequence[str]) -> int:
    """Palette slot of a modality: audio, video and text have one of their own, others follow in order."""
    if modality in _KNOWN_MODALITIES:
        return _KNOWN_MODALITIES.index(modality)
    others = [name for name in modalities if name not in _KNOWN_MODALITIES]
    free = len(SERIES) - len(_KNOWN_MODALITIES)
    return len(_KNOWN_MODALITIES) + (others.index(modality) % free if modality in others else 0)


def series_colour(modality: str, modalities: Sequence[str]) -> str:
    """The colour a modality is drawn in."""
    return SERIES[series_slot(modality, modalities)]


def css_colour(colour: str) -> str:
    """The page's name of a colour a figure is drawn in."""
    return f"var({_VARIABLES[colour]})"


def legend_of(names: Iterable[str], modalities: Sequence[str], prefix: str = "") -> list[tuple[str, str]]:
    """Some of the modalities, each with the page's name of its colour."""
    return [(prefix + name, css_colour(series_colour(name, modalities))) for name in names]


def draw_heat_map(
    axes: Axes, shares: Float[np.ndarray, "rows columns"], modality: str, modalities: Sequence[str]
) -> None:
    """Cells in the hue of a modality, as strong as the root of their shares: small shares are seen too."""
    hue = _HEAT[series_slot(modality, modalities)]
    colours = LinearSegmentedColormap.from_list(modality, [to_rgba(hue, 0), to_rgba(hue, 1)])
    axes.imshow(np.sqrt(shares), cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.grid(visible=False)
    axes.tick_params(length=0)


@in_page_style
def inline_svg(figure: Figure, label: str, description: str = "") -> Markup:
    """The figure as one `<svg>` element.

    Args:
        figure: Drawn by a function that is `in_page_style`.
        label: What a reader who cannot see the figure is told.
        description: More of it, for who asks.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>", "", text, flags=re.DOTALL)
    for colour in _VARIABLES:
        text = text.replace(colour, css_colour(colour))
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", text)
    prefix = f"f{hashlib.sha256(text.encode()).hexdigest()[:10]}-"  # unique in the page, and reproducible
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = text.replace("url(#", f"url(#{prefix}").replace('xlink:href="#', f'xlink:href="#{prefix}')
    head, body = text.split(">", 1)
    (view_box,) = re.findall(r'viewBox="[^"]+"', head)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view_box} role="img" aria-label="{escape(label)}">'
    )
    more = f"<desc>{escape(description)}</desc>" if description else ""
    return Markup(opening + more + body)  # matplotlib escapes its texts
