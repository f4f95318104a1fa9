"""Reconstruction error against the masked share of the dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.experiments.masking.masking import CENTRED, FILLS, PCA, SHARES, TOC, Fill, kept_dims
from benchmarks.experiments.masking.runs import Outcome
from unicode_cmg.files import atomic_file

_MUTED = "#6b6b6b"
_BAND, _MEAN = "#e3c08a", "#a9772c"
# blue, green and red that stay apart for colour-blind readers (Okabe and Ito), and a marker for each
_LINES = {
    TOC: ("#0072b2", "o", 2.2),
    "variance only": ("#009e73", "s", 1.4),
    "similarity only": ("#d55e00", "^", 1.4),
    CENTRED: ("#56b4e9", "D", 1.4),
    PCA: ("#222222", "x", 1.2),
}
_NAMES = {CENTRED: "TOC of the centred codebook", PCA: "PCA of the same size"}


def draw_curves(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw a panel for each kind of input and fill: means over the seeds, and the band of random masks, which
    holds the middle 90 % of all seeds' masks.

    Args:
        outcomes: Of all kinds and seeds.
        path: Where to save the figure.
    """
    kinds = list(dict.fromkeys(outcome.inputs for outcome in outcomes))
    figure = Figure(figsize=(9.6, 3.6 * len(kinds) + 0.5), layout="constrained")
    panels = figure.subplots(len(kinds), len(FILLS), sharex=True, sharey=True, squeeze=False)
    for row, kind in zip(panels, kinds, strict=True):
        group = [outcome for outcome in outcomes if outcome.inputs == kind]
        for axes, fill in zip(row, FILLS, strict=True):
            _draw_panel(axes, group, fill)
            axes.set_title(f"inputs {kind}, masked to {fill}", fontsize=10.5)
        row[0].set_ylabel("MSE of test crops (pixels 0 to 1)")
    for axes in panels[-1]:
        axes.set_xlabel("masked dimensions, %")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    with atomic_file(path) as scratch:
        figure.savefig(scratch, dpi=110)


def _draw_panel(axes: Axes, group: Sequence[Outcome], fill: Fill) -> None:
    shares = SHARES[::-1]
    at = [0.0, *(100 * share for share in shares)]
    plain = float(np.mean([outcome.mse for outcome in group]))
    entries = [[outcome.at(kept_dims(share), fill) for outcome in group] for share in shares]
    random = np.array([[entry.random for entry in found] for found in entries]).reshape(len(shares), -1)
    low, high = np.quantile(random, (0.05, 0.95), axis=1)
    axes.fill_between(
        at, [plain, *low], [plain, *high], color=_BAND, alpha=0.55, linewidth=0, label="random, middle 90 %"
    )
    axes.plot(at, [plain, *random.mean(axis=1)], color=_MEAN, linestyle="--", label="random, mean")
    for order, (colour, marker, width) in _LINES.items():
        errors = [float(np.mean([entry.chosen[order] for entry in found])) for found in entries]
        axes.plot(
            *(at, [plain, *errors]),
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=width,
            label=_NAMES.get(order, order),
        )
    axes.set(yscale="log", xlim=(0, 90), xticks=at)
    axes.set_xticklabels([f"{x:g}" for x in at])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_MUTED)
    axes.tick_params(colors=_MUTED)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.7)
