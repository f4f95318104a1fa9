"""The section about the meaning of the codes: how the steps of each class fall on them, by modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int64
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from benchmarks.report.svg import GRID, HEAT, inline_svg, page_style, series_slot
from unicode_cmg.inspect import DescribedCodes


@dataclass(frozen=True)
class MeaningView:
    """Codes by the classes they are used for: a sentence and heat maps."""

    sentence: str
    svg: Markup


def meaning_view(codes: DescribedCodes) -> MeaningView | None:
    """The codes of clips with labels."""
    if codes.labels is None:
        return None
    purity = ", ".join(
        f"{100 * (use.purity or 0):.0f} % of the {name} steps" for name, use in codes.modalities.items()
    )
    sentence = (
        "Each row is a code, each column a class. Where one row is lit in several panels, these modalities "
        "use the same code for the same class. Naming the class a code is used for most would be right for "
        f"{purity}."
    )
    columns = (*codes.labels.classes, "background")
    return MeaningView(sentence, draw_contingency(contingency(codes), columns))


def contingency(codes: DescribedCodes) -> dict[str, Int[np.ndarray, "codes classes"]]:
    """Modality -> steps on each code by class, background last; nothing without labels."""
    tables = [code.by_class.counts for code in codes.codes if code.by_class is not None]
    return {m: np.array([table[m] for table in tables]) for m in codes.modalities} if tables else {}


def telling_codes(codes: DescribedCodes, modalities: Sequence[str]) -> list[tuple[int, int]]:
    """For each class the code that all `modalities` use most for it, as `(class, row of the tables)`.

    Codes used more for another class, or for background, do not count. What decides is the smallest of the
    modalities' shares, or, where no code is common, their sum. A class without a code of its own is left out.
    """
    all_tables = contingency(codes)
    tables = np.stack([all_tables[name] for name in modalities])
    shares = np.stack([class_shares(table) for table in tables])
    main_class = tables.sum(axis=0).argmax(axis=1)
    chosen = []
    for number in range(tables.shape[2] - 1):
        merit = shares[..., number].min(axis=0) + 1e-6 * shares[..., number].sum(axis=0)
        merit[main_class != number] = 0
        if merit.any():
            chosen.append((number, int(merit.argmax())))
    return chosen


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
