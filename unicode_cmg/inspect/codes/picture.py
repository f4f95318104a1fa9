"""The activation picture: which codes the modalities share (FCID paper, figures 6 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Polygon, RegularPolygon
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from unicode_cmg.inspect.codes.codes_json import CodeEntry, DescribedCodes
from unicode_cmg.inspect.codes.dots import Dots, corners, place_dots
from unicode_cmg.inspect.codes.usage import (
    BETWEEN,
    COLOURS,
    SHARED,
    SHARED_FROM,
    SINGLE,
    SINGLE_ABOVE,
    UNUSED,
)

_INK, _MUTED, _FAINT = "#222222", "#6b6b6b", "#c9c9c9"
_DASHED: dict[str, Any] = {"color": _MUTED, "linewidth": 0.8, "linestyle": (0, (4, 3))}
# red, green and blue that stay apart for colour-blind readers (Okabe and Ito), and a shape for each
_FILL = {SHARED: "#009e73", BETWEEN: "#0072b2", SINGLE: "#d55e00"}
_SIDES = (
    ("left", "center", 1, 0),
    ("right", "center", -1, 0),
    ("center", "bottom", 0, 1),
    ("center", "top", 0, -1),
)
_MOST_NAMES = 16
_MARKER = {SHARED: "o", BETWEEN: "s", SINGLE: "^"}


def draw_codes(codes: DescribedCodes, path: str | Path | None = None) -> Figure:
    """Draw each used code as a dot between the corners of the modalities, and how much of each modality falls
    on codes of each kind.

    Green circles are codes of which every modality has at least 5 %, red triangles belong to one modality by
    more than 95 %, blue squares are between. Dots grow with the code's share of all steps and move aside
    where they would overlap, but stay in the region of their kind. Where words are known, the most telling
    word of shared codes is written beside them.

    Args:
        codes: What to draw.
        path: Where to save the figure; the suffix chooses the format.
    """
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    plane, bars = figure.subplots(1, 2, width_ratios=(1.7, 1))
    counted = " · ".join(
        f"{codes.kinds[kind]} {kind}" + (f" ({COLOURS[kind]})" if COLOURS[kind] else "")
        for kind in (SHARED, BETWEEN, SINGLE, UNUSED)
    )
    raw = ", shares of raw counts" if codes.shares == "raw" else ""
    figure.suptitle(
        f"{codes.method} {codes.code_layer}: {codes.num_codes} codes on {codes.clips} clips{raw}\n{counted}",
        color=_INK,
        fontsize=12,
    )
    dots = _draw_plane(plane, codes)
    _draw_bars(bars, codes)
    meanings = {
        SHARED: f"shared: every modality has at least {100 * SHARED_FROM:.0f} %",
        BETWEEN: "between",
        SINGLE: f"single: one modality has more than {100 * SINGLE_ABOVE:.0f} %",
    }
    handles = [
        Line2D([], [], color=_FILL[kind], marker=_MARKER[kind], linestyle="", markersize=8, label=meaning)
        for kind, meaning in meanings.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)
    _name_dots(figure, plane, dots, [_telling_word(code) for code in codes.codes if code.kind != UNUSED])
    if path is not None:
        figure.savefig(path, dpi=160)
    return figure


def _draw_plane(axes: Axes, codes: DescribedCodes) -> Dots:
    used = [code for code in codes.codes if code.kind != UNUSED]
    names = list(codes.modalities)
    parts = np.array([[code.shares[m] for m in names] for code in used])
    steps = np.array([codes.modalities[m].steps for m in names])
    uses = (np.array([[code.counts[m] for m in names] for code in used]) / steps).sum(axis=1)
    kinds = np.array([code.kind for code in used])
    dots = place_dots(parts, kinds, uses)
    where = corners(len(names))
    _draw_frame(axes, where)
    for kind, colour in _FILL.items():
        shapes = [
            _dot(kind, c, r) for c, r, k in zip(dots.centres, dots.radii, kinds, strict=True) if k == kind
        ]
        axes.add_collection(
            PatchCollection(shapes, facecolor=colour, edgecolor="white", linewidth=0.6, alpha=0.92, zorder=3)
        )
    owner = np.where(kinds == SINGLE, parts.argmax(axis=1), -1)
    for k, name in enumerate(names):
        _name_corner(axes, f"{name}\n{(owner == k).sum()} of its own", where, k, dots.of(owner == k))
    axes.set_aspect("equal")
    axes.set_axis_off()
    return dots


def _draw_frame(axes: Axes, where: Float[np.ndarray, "modalities 2"]) -> None:
    """Outline and, where they can be drawn, the limits of 5 % and 95 %."""
    if len(where) == 2:
        axes.plot(*where.T, color=_FAINT, linewidth=1.2, zorder=1)
        for share in (SHARED_FROM, SINGLE_ABOVE):
            axes.plot([share - 0.5] * 2, [-0.12, 0.12], **_DASHED)
    elif len(where) > 2:
        axes.add_patch(Polygon(where, fill=False, edgecolor=_FAINT, linewidth=1.2, zorder=1))
    if len(where) == 3:
        inner = where + SHARED_FROM * (where.sum(axis=0) - 3 * where)
        axes.add_patch(Polygon(inner, facecolor=_FILL[SHARED], alpha=0.07, linewidth=0, zorder=0))
        axes.add_patch(Polygon(inner, fill=False, zorder=1, **_DASHED))
        for k in range(3):
            ends = [SINGLE_ABOVE * where[k] + (1 - SINGLE_ABOVE) * where[other] for other in {0, 1, 2} - {k}]
            axes.plot(*np.transpose(ends), zorder=1, **_DASHED)


def _dot(kind: str, centre: Float[np.ndarray, " 2"], radius: float) -> Patch:
    """A circle, square or triangle of about the same area."""
    x, y = centre.tolist()
    if kind == SHARED:
        return Circle((x, y), radius)
    if kind == BETWEEN:
        return RegularPolygon((x, y), 4, radius=1.2 * radius, orientation=np.pi / 4)
    return RegularPolygon((x, y - 0.15 * radius), 3, radius=1.4 * radius)


def _name_corner(
    axes: Axes, text: str, where: Float[np.ndarray, "modalities 2"], corner: int, own: Dots
) -> None:
    """The modality's name outward of its corner and of its own codes there."""
    outward = where[corner] - where.mean(axis=0) if len(where) > 1 else np.array([0.0, 1.0])
    outward = outward / np.linalg.norm(outward)
    beyond = ((own.centres - where[corner]) @ outward + own.radii).max(initial=0.0) + 0.03
    x, y = (where[corner] + beyond * outward).tolist()
    sideways = abs(outward[0]) > 0.3
    across = "center" if not sideways else "left" if outward[0] > 0 else "right"
    up = "center" if sideways else "bottom" if outward[1] >= 0 else "top"
    axes.text(x, y, text, ha=across, va=up, color=_INK, fontsize=10)


def _telling_word(code: CodeEntry) -> str:
    """What to write beside a code: nothing, unless all modalities share it."""
    words = [words[0].word for words in code.words.values() if words]
    return words[0] if words and code.kind == SHARED else ""


def _draw_bars(axes: Axes, codes: DescribedCodes) -> None:
    """Part of each modality's steps on codes of each kind."""
    names = list(codes.modalities)
    left = np.zeros(len(names))
    for kind, colour in _FILL.items():
        share = 100 * np.array([codes.modalities[m].kinds[kind] for m in names])
        bars = axes.barh(names, share, 0.62, left, color=colour, edgecolor="white", linewidth=1)
        texts = [f"{value:.0f} %" if value >= 12 else "" for value in share]
        axes.bar_label(bars, texts, label_type="center", color="white", fontsize=9, fontweight="bold")
        left += share
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="steps of the modality on codes of each kind, %", box_aspect=0.75)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_MUTED)
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.tick_params(axis="x", colors=_MUTED)


def _name_dots(figure: Figure, axes: Axes, dots: Dots, names: Sequence[str]) -> None:
    """Write names beside the largest dots that have one, on the first side where nothing is covered.

    The figure must be complete but for these names: they are measured as it will be drawn.
    """
    figure.draw_without_rendering()
    boxes = [
        Bbox(axes.transData.transform([centre - radius, centre + radius]))
        for centre, radius in zip(dots.centres, dots.radii, strict=True)
    ]
    named = [i for i in np.argsort(-dots.radii, kind="stable").tolist() if names[i]]
    for i in named[:_MOST_NAMES]:
        for horizontal, vertical, right, up in _SIDES:
            offset = dots.radii[i] * np.array([right, up])
            text = axes.annotate(
                names[i],
                tuple((dots.centres[i] + offset).tolist()),
                (2 * right, 2 * up),
                textcoords="offset points",
                horizontalalignment=horizontal,
                verticalalignment=vertical,
                fontsize=9,
                zorder=4,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in boxes):
                boxes.append(box)
                break
            text.remove()
