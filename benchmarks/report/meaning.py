"""What the codes mean: how the steps of each class fall on the codes, modality by modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Int64
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from benchmarks.report.svg import GRID, HEAT, inline_svg, page_style, series_slot


def class_shares(
    contingency: Int[np.ndarray, "codes classes"],
) -> Float[np.ndarray, "codes classes"]:
    """Share of each class's steps that fell on each code; columns of classes that occur sum to 1."""
    steps = contingency.sum(axis=0, keepdims=True)
    return np.asarray(np.divide(contingency, steps, out=np.zeros(contingency.shape), where=steps > 0))


def code_order(
    shares: Mapping[str, Float[np.ndarray, "codes classes"]],
) -> tuple[Int64[np.ndarray, " used"], Int64[np.ndarray, " used"]]:
    """Used codes grouped by the class they stand for, most telling first.

    A code stands for the class in which its share, summed over the modalities, is largest.

    Returns:
        The codes in order, and the class each stands for.
    """
    together = np.sum(list(shares.values()), axis=0)
    used = np.flatnonzero(together.sum(axis=1) > 0)
    stands_for = together[used].argmax(axis=1)
    order = np.lexsort((-together[used].max(axis=1), stands_for))
    return used[order].astype(np.int64), stands_for[order].astype(np.int64)


def draw_contingency(
    contingency: Mapping[str, Int[np.ndarray, "codes classes"]], classes: Sequence[str]
) -> Markup:
    """Heat maps side by side, one a modality: rows are codes in one common order, columns are classes."""
    shares = {modality: class_shares(values) for modality, values in contingency.items()}
    order, stands_for = code_order(shares)
    with page_style():
        figure = Figure(figsize=(8.2, 3.9), layout="constrained")
        panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
        for axes, (modality, values) in zip(panels, shares.items(), strict=True):
            hue = HEAT[series_slot(modality, list(shares))]
            colours = LinearSegmentedColormap.from_list(modality, [to_rgba(hue, 0), to_rgba(hue, 1)])
            shown = np.sqrt(values[order] / max(values.max(), 1e-12))  # the eye sees small shares too
            axes.imshow(shown, cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            for edge in np.flatnonzero(np.diff(stands_for)) + 0.5:
                axes.axhline(edge, color=GRID, linewidth=0.6)
            axes.set_title(modality)
            axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
            axes.grid(visible=False)
            axes.tick_params(length=0)
            axes.set_yticks([])
        panels[0].set_ylabel(f"{len(order)} used codes, by the class they stand for")
        label = f"Share of each class's steps per code, for {', '.join(shares)}"
        return inline_svg(figure, label)
