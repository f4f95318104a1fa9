"""The section about the use of the codebook: which codes the modalities share, and the kinds of codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from benchmarks.report.svg import SERIES, css_colour, inline_svg, page_style, series_slot
from unicode_cmg.inspect import DescribedCodes
from unicode_cmg.inspect.codes.usage import BETWEEN, SHARED, SHARED_FROM, SINGLE, SINGLE_ABOVE, UNUSED


@dataclass(frozen=True)
class SharingView:
    """Who uses which code.

    Attributes:
        sentence: The numbers in words.
        kinds: Name, number of codes and CSS colour of each kind of code that occurs, for a band.
        svg: A bar for each used code.
        legend: Of the bars: name and colour of each modality.
    """

    sentence: str
    kinds: list[tuple[str, int, str]]
    svg: Markup
    legend: list[tuple[str, str]]

    @property
    def legend_of_kinds(self) -> list[tuple[str, str]]:
        """The band's legend."""
        return [(f"{codes} {name}", colour) for name, codes, colour in self.kinds]


def sharing_view(codes: DescribedCodes) -> SharingView:
    """Codes by how many modalities use them."""
    modalities = list(codes.modalities)
    everyone = "both modalities" if len(modalities) == 2 else f"all {len(modalities)} modalities"
    kinds = [
        (f"shared by {everyone}", codes.kinds[SHARED], "var(--shared)"),
        ("shared by some", codes.kinds[BETWEEN], "var(--between)"),
        ("of a single modality", codes.kinds[SINGLE], "var(--single)"),
        ("unused", codes.kinds[UNUSED], "var(--line)"),
    ]
    split = f"{codes.labels.split} " if codes.labels else ""
    sentence = (
        f"Of {codes.num_codes} codes, {codes.kinds[SHARED]} are shared by {everyone} (each has at least "
        f"{100 * SHARED_FROM:.0f} % of its uses), {codes.kinds[SINGLE]} belong to a single one (more than "
        f"{100 * SINGLE_ABOVE:.0f} %), {codes.kinds[BETWEEN]} are shared by some, and {codes.kinds[UNUSED]} "
        f"are unused on the {codes.clips} {split}clips."
    )
    svg, legend = _draw_bars(codes, modalities)
    return SharingView(sentence, [kind for kind in kinds if kind[1]], svg, legend)


def _draw_bars(codes: DescribedCodes, modalities: list[str]) -> tuple[Markup, list[tuple[str, str]]]:
    """Stacked bars, one a used code, by kind and then by the first modality's part; and their legend."""
    rank = {SHARED: 0, BETWEEN: 1, SINGLE: 2}
    used = [(rank[c.kind], *(-c.shares[m] for m in modalities)) for c in codes.codes if c.kind != UNUSED]
    parts = -np.array(sorted(used)).reshape(len(used), 1 + len(modalities))[:, 1:]
    legend = []
    with page_style():
        figure = Figure(figsize=(8.2, 1.7), layout="constrained")
        axes = figure.subplots()
        base = np.zeros(len(used))
        gap = 0.88 if len(used) <= 150 else 1.0
        for column, modality in enumerate(modalities):
            colour = SERIES[series_slot(modality, modalities)]
            axes.bar(np.arange(len(used)) + 0.5, parts[:, column], gap, base, color=colour, linewidth=0)
            legend.append((modality, css_colour(colour)))
            base += parts[:, column]
        axes.set_xlim(0, max(len(used), 1))
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        axes.set_xlabel("used codes, from shared to single")
        axes.grid(visible=False, axis="x")
        label = f"Part of {', '.join(modalities)} in each of the {len(used)} used codes"
        return inline_svg(figure, label), legend
