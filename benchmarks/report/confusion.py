"""Confusion matrices: which class the heads of one modality take for which in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from benchmarks.evaluation.predictions import ClipDetails
from benchmarks.evaluation.results import DirectionResult
from benchmarks.report.svg import GRID, HEAT, INK, inline_svg, page_style, series_slot

_NUMBERS_UP_TO, _HALF_WIDTH_UP_TO = 12, 30
_LONGEST_NAME = 28
_MISTAKES = 3


@dataclass(frozen=True)
class ConfusionMap:
    """The heat map of one direction.

    Attributes:
        title: The direction.
        svg: The picture.
        mistakes: The mistakes made most often, in words.
        crossing: Whether it is a transfer.
        wide: Whether it needs the whole width of the page.
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
    found = [(row, row.details) for row in sorted(directions, key=lambda row: row.kind != "transfer")]
    return [
        _map(row, np.array(details.confusion), classes, HEAT[series_slot(row.target, modalities)])
        for row, details in found
        if isinstance(details, ClipDetails)
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
    said = [f"{classes[i]} for {classes[j]} ({100 * wrong[i, j]:.0f} %)" for i, j in pairs]
    return f"Most often taken for another: {', '.join(said)}."


def _map(
    row: DirectionResult, counts: Int[np.ndarray, "true said"], classes: Sequence[str], hue: str
) -> ConfusionMap:
    title = f"{row.source} → {row.target}"
    mistakes = common_mistakes(counts, classes)
    right = ", ".join(
        f"{name} {100 * s:.0f} %" for name, s in zip(classes, shares(counts).diagonal(), strict=True)
    )
    wide = len(classes) > _HALF_WIDTH_UP_TO
    with page_style():
        height = max(2.6, (0.105 if wide else 0.115) * len(classes) + 0.5)
        figure = Figure(figsize=(8.2 if wide else 4.1, height), layout="constrained")
        _draw(figure.subplots(), shares(counts), classes, hue)
        svg = inline_svg(figure, f"Confusion matrix, {title}. {mistakes}", f"Called what they are: {right}.")
    return ConfusionMap(title, svg, mistakes, row.kind == "transfer", wide)


def _draw(axes: Axes, values: Float[np.ndarray, "true said"], classes: Sequence[str], hue: str) -> None:
    few = len(classes) <= _NUMBERS_UP_TO
    colours = LinearSegmentedColormap.from_list("share", [to_rgba(hue, 0), to_rgba(hue, 1)])
    axes.imshow(np.sqrt(values), cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
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
    axes.set_ylabel("what it is")
    axes.set_xlabel("what it is called")
    axes.grid(visible=False)
    axes.tick_params(length=0, pad=2)
