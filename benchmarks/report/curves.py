"""Training curves: small multiples of the loss terms and of the codebook's usage over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.report.svg import INK, SERIES, css_colour, in_page_style, inline_svg, series_colour

_POINTS = 300
_WORDS = {
    "total": "Weighted sum of all terms",
    "reconstruction": "Reconstruction",
    "commitment": "Commitment to the codewords",
    "codebook": "Codewords to the features",
    "club": "Mutual information (CLUB)",
    "critic": "Critics of CLUB",
    "cpc": "Contrastive prediction (CPC)",
    "cmcm": "Cross-modal code matching (CMCM)",
    "info_nce": "Contrast of paired clips (InfoNCE)",
    "structure": "Structure within the batch",
    "gram": "Volume that the modalities span",
    "slot_alignment": "Terms of slot alignment",
    "slot_alignment/contrastive": "Contrast of paired slots",
    "slot_alignment/retrieval": "Retrieval by transport distance",
    "slot_alignment/reconstruction": "Reconstruction of the tokens",
    "slot_alignment/keep": "Share of the slots that are kept",
    "perplexity": "Perplexity",
    "active": "Active codes",
    "shared": "Codes that every modality uses",
    "agreement": "Same code in two modalities",
    "unused": "Codes that no clip uses",
}


@dataclass(frozen=True)
class Curve:
    """One quantity over the steps: `x [n]` steps, `y [n]` values, `name` the part after the first slash."""

    name: str
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]


def curves_of(metrics: Sequence[Mapping[str, Any]], group: str, below: str = "") -> dict[str, list[Curve]]:
    """Curves of one group of the log, such as `loss`, by quantity.

    `reconstruction/audio` and `reconstruction/video` are two curves of the quantity `reconstruction`;
    `layer0/perplexity/audio` is the curve `audio` of the quantity `layer0/perplexity`.

    Args:
        metrics: The lines of the log.
        group: Its name in a line.
        below: Only keys that begin so, such as `slot_alignment/`, each of them a quantity of its own.
    """
    points: dict[str, dict[int, float]] = {}
    for line in metrics:
        for key, value in (line.get(group) or {}).items():
            if value is not None and np.isfinite(value) and key.startswith(below):
                points.setdefault(key, {})[int(line["step"])] = float(value)
    result: dict[str, list[Curve]] = {}
    for key, values in points.items():
        parts = key.split("/")
        end = len(parts) if below else 2 if _is_layer(key) else 1
        x, y = np.array(sorted(values.items())).T
        result.setdefault("/".join(parts[:end]), []).append(Curve("/".join(parts[end:]), x, y))
    return result


def _is_layer(part: str) -> bool:
    return part.startswith("layer")


def in_words(key: str, *, one_layer: bool = False) -> str:
    """What a quantity of the log is: "Perplexity, code layer 0" for `layer0/perplexity`.

    Args:
        key: The quantity; terms of other packages keep their names.
        one_layer: Whether there is no other code layer, so that it need not be named.
    """
    first, slash, rest = key.partition("/")
    if slash and _is_layer(first):
        return in_words(rest) + ("" if one_layer else f", {_part_in_words(first, ())}")
    return _WORDS.get(key, key.replace("_", " "))


def _part_in_words(part: str, modalities: Sequence[str]) -> str:
    """`layer1` as "code layer 1", `audio-video` as "audio and video"."""
    if _is_layer(part):
        return f"code layer {part.removeprefix('layer')}"
    pairs = {f"{a}-{b}": f"{a} and {b}" for a in modalities for b in modalities}
    return pairs.get(part, part)


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


class Chart(NamedTuple):
    """One panel of small multiples: a quantity in words and as `metrics.jsonl` calls it, and its curves."""

    title: str
    key: str
    svg: Markup
    legend: list[tuple[str, str]]


def charts_of(
    metrics: Sequence[Mapping[str, Any]],
    group: str,
    modalities: Sequence[str],
    held_out: str = "",
    below: str = "",
) -> list[Chart]:
    """A panel for each quantity of a group of the log.

    Args:
        metrics: The lines of the log.
        group: Such as `loss`.
        modalities: Names that have a colour of their own.
        held_out: The group with the same quantities on held-out data, if there is one.
        below: As for `curves_of`.
    """
    found, dots = curves_of(metrics, group, below), curves_of(metrics, held_out, below)
    one_layer = len({key.split("/")[0] for key in found}) == 1
    return [
        draw_curves(in_words(key, one_layer=one_layer), key, curves, modalities, dots.get(key, ()))
        for key, curves in found.items()
    ]


@in_page_style
def draw_curves(
    title: str, key: str, curves: Sequence[Curve], modalities: Sequence[str], held_out: Sequence[Curve] = ()
) -> Chart:
    """One panel: each curve faint as logged, its running mean on top, and held-out values as dots."""
    dots = {curve.name: curve for curve in held_out}
    names = {c.name: ", ".join(_part_in_words(p, modalities) for p in c.name.split("/")) for c in curves}
    figure = Figure(figsize=(3.1, 1.7))
    axes = figure.subplots()
    # the same for all, so that panels align
    figure.subplots_adjust(left=0.15, right=0.98, top=0.96, bottom=0.26)
    legend = []
    for number, curve in enumerate(curves):
        colour = INK if not curve.name else SERIES[3 + number % (len(SERIES) - 3)]
        if curve.name in modalities:
            colour = series_colour(curve.name, modalities)
        drawn = thin(curve)
        axes.plot(drawn.x, drawn.y, color=colour, alpha=0.3, linewidth=0.8)
        axes.plot(drawn.x, smooth(drawn.y), color=colour)
        if curve.name in dots:
            axes.plot(dots[curve.name].x, dots[curve.name].y, ".", color=colour, markersize=3.5)
        if curve.name:
            legend.append((names[curve.name], css_colour(colour)))
    axes.set_xlabel("step")
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.01)
    last = ", ".join(f"{names[curve.name]} {curve.y[-1]:.3g}".strip() for curve in curves)
    return Chart(title, key, inline_svg(figure, f"{title} over the steps; last values: {last}"), legend)
