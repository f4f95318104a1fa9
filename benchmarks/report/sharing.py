"""Who uses which code: shared by all modalities, by some, or owned by one (FCID paper, figures 6 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup
from matplotlib.figure import Figure

from benchmarks.report.svg import SERIES, css_colour, inline_svg, page_style, series_slot

SINGLE_ABOVE, SHARED_FROM = 0.95, 0.05

SHARED, BETWEEN, SINGLE, UNUSED = "shared", "between", "single", "unused"


@dataclass(frozen=True)
class Sharing:
    """Each code's kind, and each modality's part in it.

    Attributes:
        modalities: M names.
        parts: `[H, M]`, rows of used codes sum to 1. Each modality's counts are divided by its number of
            steps first, so a modality with more steps does not own more codes for that.
        kinds: `[H]` of `shared` (every modality has at least 5 %), `single` (one has more than 95 %),
            `between`, `unused`.
    """

    modalities: list[str]
    parts: Float[np.ndarray, "codes modalities"]
    kinds: list[str]

    def count(self, kind: str) -> int:
        """Number of codes of a kind."""
        return self.kinds.count(kind)


def sharing_of(counts: Mapping[str, Int[np.ndarray, " codes"]]) -> Sharing:
    """Classify the codes.

    Args:
        counts: Modality -> how often it chose each of the H codes.
    """
    rates = np.stack([values / max(values.sum(), 1) for values in counts.values()], axis=1)
    total = rates.sum(axis=1, keepdims=True)
    parts = np.divide(rates, total, out=np.zeros_like(rates), where=total > 0)
    kinds = []
    for used, part in zip(total[:, 0] > 0, parts, strict=True):
        if not used:
            kinds.append(UNUSED)
        elif part.max() > SINGLE_ABOVE:
            kinds.append(SINGLE)
        else:
            kinds.append(SHARED if part.min() >= SHARED_FROM else BETWEEN)
    return Sharing(list(counts), parts, kinds)


def draw_sharing(sharing: Sharing) -> tuple[Markup, list[tuple[str, str]]]:
    """Stacked bars, one a used code, by kind and then by the first modality's part; and their legend."""
    rank = {SHARED: 0, BETWEEN: 1, SINGLE: 2}
    used = [code for code, kind in enumerate(sharing.kinds) if kind != UNUSED]
    used.sort(key=lambda code: (rank[sharing.kinds[code]], *-sharing.parts[code]))
    parts = sharing.parts[used]
    legend = []
    with page_style():
        figure = Figure(figsize=(8.2, 1.7), layout="constrained")
        axes = figure.subplots()
        base = np.zeros(len(used))
        gap = 0.88 if len(used) <= 150 else 1.0
        for column, modality in enumerate(sharing.modalities):
            colour = SERIES[series_slot(modality, sharing.modalities)]
            axes.bar(np.arange(len(used)) + 0.5, parts[:, column], gap, base, color=colour, linewidth=0)
            legend.append((modality, css_colour(colour)))
            base += parts[:, column]
        axes.set_xlim(0, max(len(used), 1))
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        axes.set_xlabel("used codes, from shared to single")
        axes.grid(visible=False, axis="x")
        svg = inline_svg(
            figure, f"Part of {', '.join(sharing.modalities)} in each of the {len(used)} used codes"
        )
    return svg, legend
