"""Figures: reconstruction error against the masked share, and reconstructions under masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from benchmarks.experiments.masking.masks import (
    CENTRED,
    FILLS,
    PCA,
    SHARES,
    TOC,
    Fill,
    dimension_orders,
    kept_dims,
    masked,
    random_orders,
)
from benchmarks.experiments.masking.photos import Photo, to_tensor
from benchmarks.experiments.masking.runs import Outcome
from benchmarks.experiments.masking.vqvae import VQVAE
from unicode_cmg.files import atomic_file

WINDOWS = {"china": (240, 320), "flower": (134, 344), "grace_hopper": (156, 260)}
"""Upper left corner of what is shown of each photograph, within its test band."""

SIDE = 112
_GAP, _TOP, _LEFT, _EDGE = 6, 40, 8, 64
_INK = "#222222"
_DPI = 100
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


def draw_reconstructions(photos: Mapping[str, Photo], model: VQVAE, outcome: Outcome, path: Path) -> None:
    """Draw for each photograph the original, the reconstruction with nothing masked, and with more and more
    masked to zero, at random above and by TOC below.

    The random mask is the one of the 100 with the median error on test crops. Pixels are clipped to what a
    screen shows.

    Args:
        photos: By name, as in `WINDOWS`.
        model: Of the outcome.
        outcome: What the model gives.
        path: Where to save the PNG, in 256 colours.
    """
    shares = SHARES[::-1]
    big = 2 * SIDE + _GAP
    width = _LEFT + 2 * (big + _GAP) + len(shares) * (SIDE + _GAP) + _EDGE
    height = _TOP + len(WINDOWS) * (big + 3 * _GAP)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)

    def show(image: Float[Tensor, "3 height width"], x: int, y: int, side: int) -> None:
        axes = figure.add_axes((x / width, 1 - (y + side) / height, side / width, side / height))
        axes.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
        axes.set_axis_off()

    def write(text: str, x: float, y: float, colour: str = _INK) -> None:
        figure.text(x / width, 1 - y / height, text, ha="center", va="center", color=colour, fontsize=11)

    codebooks = _codebooks(model, outcome)
    for row, (name, (top, left)) in enumerate(WINDOWS.items()):
        image = to_tensor([photos[name][top : top + SIDE, left : left + SIDE]])
        with torch.inference_mode():
            indices = model(image).indices
            plain = model.decode(indices, model.codebook)
            pairs = [[model.decode(indices, codebook)[0] for codebook in pair] for pair in codebooks]
        y = _TOP + row * (big + 3 * _GAP)
        show(image[0], _LEFT, y, big)
        show(plain[0], _LEFT + big + _GAP, y, big)
        for column, pair in enumerate(pairs):
            x = _LEFT + 2 * (big + _GAP) + column * (SIDE + _GAP)
            for below, picture in enumerate(pair):
                show(picture, x, y + below * (SIDE + _GAP), SIDE)
        for below, label in enumerate(("random", TOC)):
            write(label, width - _EDGE / 2, y + SIDE / 2 + below * (SIDE + _GAP))
    titles = ("original", "nothing masked", *(f"{100 * share:g} % masked" for share in shares))
    for column, title in enumerate(titles):
        side = big if column < 2 else SIDE
        x = _LEFT + min(column, 2) * (big + _GAP) + max(column - 2, 0) * (SIDE + _GAP)
        write(title, x + side / 2, _TOP / 2, _INK if column < 2 else _MUTED)
    _save(figure, path)


def _codebooks(model: VQVAE, outcome: Outcome) -> list[tuple[Float[Tensor, "codes dim"], ...]]:
    """For each masked share, least first: the codebook under the median random mask, and under TOC's."""
    shuffled, best = random_orders(outcome.seed), dimension_orders(model.codebook)[TOC]
    pairs = []
    for share in SHARES[::-1]:
        kept = kept_dims(share)
        errors = outcome.at(kept, "zero").random
        median = shuffled[int(np.argsort(errors)[len(errors) // 2])]
        pairs.append(tuple(masked(model.codebook, order[:kept], "zero") for order in (median, best)))
    return pairs


def _save(figure: Figure, path: Path) -> None:
    """Save in a palette, which takes a quarter of the bytes."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    image = Image.open(drawn).convert("RGB").quantize(256)
    with atomic_file(path) as scratch:
        image.save(scratch, optimize=True)
