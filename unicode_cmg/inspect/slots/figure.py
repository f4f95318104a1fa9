"""The first clips and their slots as a figure for a paper, like figure 2 of the SGA paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.inspect.slots.scene import Claim, Images, Scene, Sentence, Word, scenes
from unicode_cmg.inspect.slots.slots_json import MatchedSlots

_PALETTE = ("#d55e00", "#0072b2", "#009e73", "#9a5fd4", "#e0a100", "#5b6570")
_INK, _MUTED, _EMPTY = "#222222", "#6b6b6b", "#e4e4e4"
_INCH = 11.0  # pixels of the images that are drawn on an inch
_LEFT, _MARGIN, _TEXT, _BETWEEN = 9.0, 2.0, 2.6, 2.2
_NARROWEST = 60.0
_LETTER, _WORD_GAP = 0.74, 1.2  # of the words, in the same unit


def draw_slots(
    found: MatchedSlots,
    store: FeatureStore,
    path: str | Path | None = None,
    *,
    clips: int = 3,
    colours: int = 3,
) -> Figure:
    """Draw the first clips: rows are teachers, colours are the joint slots that their slots are paired with.

    Args:
        found: The slots.
        store: The features they were found in.
        path: Where to save the figure; the suffix chooses the format.
        clips: How many to draw.
        colours: Joint slots of each, six at most; the SGA paper shows two.
    """
    drawn = scenes(found, store, clips=clips, colours=min(colours, len(_PALETTE)))
    images = [t.width for scene in drawn for t in scene.teachers if isinstance(t, Images)]
    width = _LEFT + max([_NARROWEST, *images])
    heights = [
        _TEXT * 2 + sum(_row_height(teacher, width) + _BETWEEN for teacher in scene.teachers)
        for scene in drawn
    ]
    total = sum(heights) + _BETWEEN * 2 * (len(drawn) - 1)
    figure = Figure(figsize=((width + 2 * _MARGIN) / _INCH, (total + 2 * _MARGIN) / _INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    top = 0.0
    for scene, height in zip(drawn, heights, strict=True):
        _draw_scene(axes, scene, top, width)
        top += height + 2 * _BETWEEN
    axes.set_xlim(-_MARGIN, width + _MARGIN)
    axes.set_ylim(total + _MARGIN, -_MARGIN)
    axes.set_axis_off()
    if path is not None:
        figure.savefig(path, dpi=130)
    return figure


def _row_height(teacher: Images | Sentence, width: float) -> float:
    if isinstance(teacher, Images):
        return float(teacher.height)
    return _TEXT * (1 + max((line for _, _, line, _ in _set(teacher.words, width)), default=0))


def _draw_scene(axes: Axes, scene: Scene, top: float, width: float) -> None:
    """Name, legend, then each teacher below the other."""
    axes.text(0, top, scene.clip.clip, va="top", fontsize=9, fontweight="bold", color=_INK)
    x = 0.0
    for colour, slot in enumerate(scene.slots):
        similar = slot.similarities()
        axes.add_patch(Rectangle((x, top + _TEXT), 1.6, 1.6, color=_PALETTE[colour], linewidth=0))
        axes.text(x + 2.2, top + _TEXT + 0.8, similar, va="center", fontsize=6.5, color=_MUTED)
        x += 4.5 + 0.56 * len(similar)
    top += 2 * _TEXT
    for teacher in scene.teachers:
        height = _row_height(teacher, width)
        axes.text(0, top + height / 2, teacher.teacher, va="center", fontsize=8, color=_MUTED)
        if isinstance(teacher, Images):
            _draw_images(axes, teacher, top)
        else:
            _draw_words(axes, teacher.words, top, width)
        top += height + _BETWEEN


def _draw_images(axes: Axes, images: Images, top: float) -> None:
    height, width = images.pixels.shape[:2]
    extent = (_LEFT, _LEFT + width, top + height, top)
    axes.imshow(images.pixels, extent=extent, interpolation="nearest", aspect="auto")
    for x, y, wide, high in images.outlines:
        axes.add_patch(Rectangle((_LEFT + x, top + y), wide, high, fill=False, color=_EMPTY, linewidth=0.6))
    for part in images.parts:
        place = (_LEFT + part.x, top + part.y)
        axes.add_patch(Rectangle(place, part.width, part.height, **_fill(part.claim)))


def _draw_words(axes: Axes, words: Sequence[Word], top: float, width: float) -> None:
    for word, x, line, long in _set(words, width):
        y = top + line * _TEXT
        for place, claim in enumerate(word.claims):
            share = long / len(word.claims)
            axes.add_patch(Rectangle((x + place * share, y), share, 0.85 * _TEXT, **_fill(claim)))
        middle: dict[str, Any] = {"va": "center", "ha": "center", "family": "monospace", "parse_math": False}
        axes.text(x + long / 2, y + 0.42 * _TEXT, word.text, fontsize=8, color=_INK, **middle)


def _fill(claim: Claim | None) -> dict[str, Any]:
    if claim is None:
        return {"facecolor": _EMPTY, "linewidth": 0}
    return {"facecolor": _PALETTE[claim.colour], "alpha": 0.4 + 0.5 * claim.strength, "linewidth": 0}


def _set(words: Sequence[Word], width: float) -> list[tuple[Word, float, int, float]]:
    """Each word with where it begins, on which line, and how long it is."""
    placed, x, line = [], _LEFT, 0
    for word in words:
        long = _LETTER * len(word.text) + 1.0
        if x + long > width and x > _LEFT:
            x, line = _LEFT, line + 1
        placed.append((word, x, line, long))
        x += long + _WORD_GAP
    return placed
