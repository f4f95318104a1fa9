"""Training curves: small multiples of the loss terms and of the codebook's usage over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.report.svg import INK, SERIES, css_colour, inline_svg, page_style, series_slot

_POINTS = 300


@dataclass(frozen=True)
class Curve:
    """One quantity over the steps: `x [n]` steps, `y [n]` values, `name` the part after the first slash."""

    name: str
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]


def curves_of(metrics: Sequence[Mapping[str, Any]], group: str) -> dict[str, list[Curve]]:
    """Curves of one group of the log, such as `loss`, by quantity.

    `reconstruction/audio` and `reconstruction/video` are two curves of the quantity `reconstruction`;
    `layer0/perplexity/audio` is the curve `audio` of the quantity `layer0/perplexity`.
    """
    points: dict[str, dict[int, float]] = {}
    for line in metrics:
        for key, value in (line.get(group) or {}).items():
            if value is not None and np.isfinite(value):
                points.setdefault(key, {})[int(line["step"])] = float(value)
    result: dict[str, list[Curve]] = {}
    for key, values in points.items():
        quantity, name = _split(key)
        steps = sorted(values)
        curve = Curve(name, np.array(steps, dtype=float), np.array([values[step] for step in steps]))
        result.setdefault(quantity, []).append(curve)
    return result


def _split(key: str) -> tuple[str, str]:
    parts = key.split("/")
    if parts[0].startswith("layer") and len(parts) > 1:
        return "/".join(parts[:2]), "/".join(parts[2:])
    return parts[0], "/".join(parts[1:])


def thin(curve: Curve, points: int = _POINTS) -> Curve:
    """At most `points` points: longer curves are averaged over equal stretches, to keep the page small."""
    if len(curve.x) <= points:
        return curve
    edges = np.linspace(0, len(curve.x), points + 1).astype(int)
    width = np.diff(edges)
    return Curve(
        curve.name,
        np.add.reduceat(curve.x, edges[:-1]) / width,
        np.add.reduceat(curve.y, edges[:-1]) / width,
    )


def smooth(values: Float[np.ndarray, " n"], share: float = 0.03) -> Float[np.ndarray, " n"]:
    """Centred running mean over `share` of the curve; near the ends the window shrinks to what exists."""
    radius = int(len(values) * share)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(at - radius, 0), np.minimum(at + radius + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


@dataclass(frozen=True)
class Chart:
    """One panel of small multiples: the drawing, and `(name, CSS colour)` of each curve in it."""

    svg: Markup
    legend: list[tuple[str, str]]


def draw_curves(
    title: str, curves: Sequence[Curve], modalities: Sequence[str], held_out: Sequence[Curve] = ()
) -> Chart:
    """One panel: each curve faint as logged, and its running mean on top.

    Args:
        title: The quantity.
        curves: The quantity over the training steps.
        modalities: Names that have a colour of their own.
        held_out: The same quantity on held-out data, drawn as dots.
    """
    dots = {curve.name: curve for curve in held_out}
    with page_style():
        figure = Figure(figsize=(3.1, 1.9))
        axes = figure.subplots()
        figure.subplots_adjust(
            left=0.15, right=0.98, top=0.88, bottom=0.24
        )  # the same for all, so that panels align
        legend = []
        for number, curve in enumerate(curves):
            colour = _colour(curve.name, number, modalities)
            drawn = thin(curve)
            axes.plot(drawn.x, drawn.y, color=colour, alpha=0.3, linewidth=0.8)
            axes.plot(drawn.x, smooth(drawn.y), color=colour)
            if curve.name in dots:
                axes.plot(dots[curve.name].x, dots[curve.name].y, ".", color=colour, markersize=3.5)
            if curve.name:
                legend.append((curve.name, css_colour(colour)))
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.margins(x=0.01)
        last = ", ".join(f"{curve.name or title} {curve.y[-1]:.3g}" for curve in curves)
        return Chart(inline_svg(figure, f"{title} over the steps; last values: {last}"), legend)


def _colour(name: str, number: int, modalities: Sequence[str]) -> str:
    if not name:
        return INK
    if name in modalities:
        return SERIES[series_slot(name, modalities)]
    return SERIES[3 + number % (len(SERIES) - 3)]
