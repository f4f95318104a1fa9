"""What the heads make of each class: its score in every direction as dots, and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report.svg import (
    GRID,
    INK,
    draw_heat_map,
    in_page_style,
    inline_svg,
    legend_of,
    series_colour,
)
from unicode_cmg.results import ClipDetails, Details, DirectionResult, TagDetails

_SPREAD = 0.45
_NEAR_THE_TOP = 70
_NUMBERS_UP_TO, _HALF_WIDTH_UP_TO = 12, 30
_LONGEST_NAME = 28
_MISTAKES = 3
_Scores = dict[tuple[str, str], tuple[float | None, ...]]


class ClassView(NamedTuple):
    """A dot plot with its legend, and the same as a table: name of each class, and its value in each column.

    `measure` is what the dots are; their axis begins at `start` percent.
    """

    measure: str
    start: int
    svg: Markup
    legend: list[tuple[str, str]]
    columns: list[str]
    rows: list[tuple[str, list[float | None]]]


def transfers_first(directions: Sequence[DirectionResult]) -> list[DirectionResult]:
    """The directions, those within one modality last."""
    return sorted(directions, key=lambda row: row.kind != "transfer")


@in_page_style
def class_view(
    directions: Sequence[DirectionResult], classes: Sequence[str], modalities: Sequence[str]
) -> ClassView | None:
    """The classes from the one that transfers best to the one that does worst; None without details."""
    detailed = [(row, row.details) for row in transfers_first(directions) if row.details is not None]
    if not detailed:
        return None
    scores: _Scores = {(row.source, row.target): details.by_class for row, details in detailed}
    order = class_order(scores, len(classes))
    measure = _measure(detailed[0][1])
    sources, targets = ([m for m in modalities if any(pair[k] == m for pair in scores)] for k in (0, 1))
    names = [classes[number].replace("_", " ") for number in order]
    values = [[by_class[number] for by_class in scores.values()] for number in order]
    start = axis_start([value for row in values for value in row if value is not None])
    figure = Figure(figsize=(8.2, 0.155 * len(order) + 0.75), layout="constrained")
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(panels, targets, strict=True):
        _draw_target(axes, target, scores, order, modalities)
        axes.set_xlim(start, 100)
        axes.set_xticks(range(start, 101, 25 if start == 0 else 10 if start < 90 else 5))
    panels[0].set_yticks(range(len(order)), names)
    panels[0].set_ylim(len(order) - 0.4, -0.6)
    best = f"best {names[0]}, worst {names[-1]}" if names else "no class occurs"
    return ClassView(
        measure,
        start,
        inline_svg(figure, f"Each class, {measure}, by direction: in transfer {best}"),
        legend_of(sources, modalities, "trained on "),
        [f"{source} → {target}" for source, target in scores],
        list(zip(names, values, strict=True)),
    )


def _measure(details: Details) -> str:
    """What the dots are."""
    if isinstance(details, ClipDetails):
        return f"percent of its {details.counted} that are recognised"
    if isinstance(details, TagDetails):
        return "average precision, in percent"
    return "F1 over seconds, in percent"


def class_order(scores: _Scores, classes: int) -> list[int]:
    """Classes by their mean over transfers, or over all directions if there are none, best first."""
    crossing = {pair: values for pair, values in scores.items() if pair[0] != pair[1]} or scores
    found = {c: [v for values in crossing.values() if (v := values[c]) is not None] for c in range(classes)}
    return sorted((c for c in found if found[c]), key=lambda c: -fmean(found[c]))


def axis_start(percents: Sequence[float]) -> int:
    """Where an axis up to 100 percent begins: at 0, or at the ten below values that are all near the top."""
    lowest = min(percents, default=0)
    return min(int(lowest) // 10 * 10, 90) if lowest >= _NEAR_THE_TOP else 0


def _draw_target(
    axes: Axes, target: str, scores: _Scores, order: Sequence[int], modalities: Sequence[str]
) -> None:
    """One target: a dot for each source, a ring for the target's own heads, and a line between them."""
    columns = {source: values for (source, t), values in scores.items() if t == target}
    for place, number in enumerate(order):
        found = [v for values in columns.values() if (v := values[number]) is not None]
        if found:
            axes.plot([min(found), max(found)], [place, place], color=GRID, linewidth=2, zorder=1)
    for lane, (source, values) in enumerate(columns.items()):
        shift = _SPREAD * (lane / max(len(columns) - 1, 1) - 0.5)  # so that equal values can all be seen
        known = [(value, place) for place, n in enumerate(order) if (value := values[n]) is not None]
        colour = series_colour(source, modalities)
        axes.plot(
            [value for value, _ in known],
            [place + shift for _, place in known],
            "o",
            color=colour,
            markersize=4,
            markerfacecolor="none" if source == target else colour,
            markeredgewidth=1.1,
            clip_on=False,
            zorder=3 if source == target else 2,
        )
    axes.set_title(f"tested on {target}")
    axes.grid(visible=False, axis="y")
    axes.tick_params(length=0)


class ConfusionMap(NamedTuple):
    """The heat map of one direction and its most frequent mistakes in words.

    It is `crossing` if it is a transfer, and `wide` if it needs the whole width of the page.
    """

    title: str
    svg: Markup
    mistakes: str
    crossing: bool
    wide: bool


def confusion_maps(
    directions: Sequence[DirectionResult], classes: Sequence[str], modalities: Sequence[str]
) -> list[ConfusionMap]:
    """A map for each direction that has counts, transfers first."""
    return [
        _confusion_map(row, np.array(row.details.confusion), classes, modalities)
        for row in transfers_first(directions)
        if isinstance(row.details, ClipDetails)
    ]


def shares(counts: Int[np.ndarray, "true said"]) -> Float[np.ndarray, "true said"]:
    """Of each class, the share that is called each class; zeros for a class without clips."""
    clips = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(counts, clips, out=np.zeros(counts.shape), where=clips > 0))


def common_mistakes(counts: Int[np.ndarray, "true said"], classes: Sequence[str]) -> str:
    """The largest shares off the diagonal, in words."""
    wrong = shares(counts)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MISTAKES]
    pairs = [np.unravel_index(place, wrong.shape) for place in order if wrong.flat[place] > 0]
    if not pairs:
        return "No clip is taken for another class."
    percents = [f"{100 * wrong[pair]:.0f}" if wrong[pair] >= 0.005 else "under 1" for pair in pairs]
    said = [f"{classes[i]} for {classes[j]} ({p} %)" for (i, j), p in zip(pairs, percents, strict=True)]
    return f"Most often taken for another: {', '.join(said)}."


@in_page_style
def _confusion_map(
    row: DirectionResult,
    counts: Int[np.ndarray, "true said"],
    classes: Sequence[str],
    modalities: Sequence[str],
) -> ConfusionMap:
    title, mistakes, values = f"{row.source} → {row.target}", common_mistakes(counts, classes), shares(counts)
    right = ", ".join(
        f"{name} {100 * share:.0f} %" for name, share in zip(classes, values.diagonal(), strict=True)
    )
    wide = len(classes) > _HALF_WIDTH_UP_TO
    height = max(2.6, (0.105 if wide else 0.115) * len(classes) + 0.5)
    figure = Figure(figsize=(8.2 if wide else 4.1, height), layout="constrained")
    axes = figure.subplots()
    draw_heat_map(axes, values, row.target, modalities)
    _name_cells(axes, values, classes)
    svg = inline_svg(figure, f"Confusion matrix, {title}. {mistakes}", f"Called what they are: {right}.")
    return ConfusionMap(title, svg, mistakes, row.kind == "transfer", wide)


def _name_cells(axes: Axes, values: Float[np.ndarray, "true said"], classes: Sequence[str]) -> None:
    """Lines between the cells and names of the classes; of few classes also the percentages."""
    few = len(classes) <= _NUMBERS_UP_TO
    edges, ends = np.arange(len(classes) - 1) + 0.5, (-0.5, len(classes) - 0.5)
    axes.hlines(edges, *ends, color=GRID, linewidth=0.3)
    axes.vlines(edges, *ends, color=GRID, linewidth=0.3)
    size = 7.5 if few else 6.2
    names = [name.replace("_", " ") for name in classes]
    names = [name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…" for name in names]
    if few:
        for i, j in zip(*np.nonzero(values >= 0.005), strict=True):
            colour = "#ffffff" if values[i, j] > 0.35 else INK
            text = f"{100 * values[i, j]:.0f}"
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color=colour)
        axes.set_xticks(
            range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size
        )
    else:  # names would not fit below the columns: they have the numbers of the rows
        numbers = [str(number) for number in range(1, len(names) + 1)]
        axes.set_xticks(range(len(names)), numbers, fontsize=size - 0.5 if len(names) < 50 else 4.5)
        names = [f"{name}  {number}" for name, number in zip(names, numbers, strict=True)]
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_ylabel("true class")
    axes.set_xlabel("class named by the head")
    axes.tick_params(pad=2)
