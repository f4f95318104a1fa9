"""What transfers and what does not: each class under heads of other modalities and of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.evaluation.results import DirectionResult
from benchmarks.report.svg import GRID, SERIES, css_colour, inline_svg, page_style, series_slot

_SPREAD = 0.45
_Scores = dict[tuple[str, str], tuple[float | None, ...]]


@dataclass(frozen=True)
class ClassView:
    """A dot plot, its legend, and the same as a table.

    Attributes:
        measure: What the dots are.
        svg, legend: The plot.
        columns: The directions, transfers first.
        rows: Name of each class, in the order of the plot, and its value in each direction.
    """

    measure: str
    svg: Markup
    legend: list[tuple[str, str]]
    columns: list[str]
    rows: list[tuple[str, list[float | None]]]


def class_view(
    directions: Sequence[DirectionResult], classes: Sequence[str], modalities: Sequence[str]
) -> ClassView | None:
    """The classes from the one that transfers best to the one that does worst; None without details."""
    ordered = sorted(directions, key=lambda row: row.kind != "transfer")
    scores: _Scores = {
        (row.source, row.target): row.details.by_class for row in ordered if row.details is not None
    }
    if not scores:
        return None
    order = class_order(scores, len(classes))
    (kind,) = {row.details.kind for row in ordered if row.details is not None}
    measure = "percent of its clips that are called it" if kind == "clips" else "F1 over seconds, in percent"
    targets = [name for name in modalities if any(target == name for _, target in scores)]
    sources = [name for name in modalities if any(source == name for source, _ in scores)]
    names = [classes[number].replace("_", " ") for number in order]
    with page_style():
        figure = Figure(figsize=(8.2, 0.155 * len(order) + 0.75), layout="constrained")
        panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
        for axes, target in zip(panels, targets, strict=True):
            _panel(axes, target, scores, order, modalities)
        panels[0].set_yticks(range(len(order)), names)
        panels[0].set_ylim(len(order) - 0.4, -0.6)
        best = f"best {names[0]}, worst {names[-1]}" if names else "no class occurs"
        svg = inline_svg(figure, f"Each class, {measure}, by direction: in transfer {best}")
    return ClassView(
        measure,
        svg,
        [(f"trained on {name}", css_colour(SERIES[series_slot(name, modalities)])) for name in sources],
        [f"{source} → {target}" for source, target in scores],
        [
            (name, [values[number] for values in scores.values()])
            for name, number in zip(names, order, strict=True)
        ],
    )


def class_order(scores: _Scores, classes: int) -> list[int]:
    """Classes by their mean over transfers, or over all directions if there are none, best first."""
    crossing = {pair: values for pair, values in scores.items() if pair[0] != pair[1]} or scores
    found = {c: [v for values in crossing.values() if (v := values[c]) is not None] for c in range(classes)}
    return sorted((c for c in found if found[c]), key=lambda c: -fmean(found[c]))


def _panel(axes: Axes, target: str, scores: _Scores, order: Sequence[int], modalities: Sequence[str]) -> None:
    """One target: a dot for each source, a ring for the target's own heads, and a line between them."""
    columns = {source: values for (source, t), values in scores.items() if t == target}
    for place, number in enumerate(order):
        known = [v for values in columns.values() if (v := values[number]) is not None]
        if known:
            axes.plot([min(known), max(known)], [place, place], color=GRID, linewidth=2, zorder=1)
    for lane, (source, values) in enumerate(columns.items()):
        shift = _SPREAD * (lane / max(len(columns) - 1, 1) - 0.5)  # so that equal values can all be seen
        points = [
            (v, place + shift) for place, number in enumerate(order) if (v := values[number]) is not None
        ]
        colour = SERIES[series_slot(source, modalities)]
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            "o",
            color=colour,
            markersize=4,
            markerfacecolor="none" if source == target else colour,
            markeredgewidth=1.1,
            clip_on=False,
            zorder=3 if source == target else 2,
        )
    axes.set_title(f"tested on {target}")
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.grid(visible=False, axis="y")
    axes.tick_params(length=0)
