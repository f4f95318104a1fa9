"""The sections about the codebook: who uses which code, the class a code stands for, and clips behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64
from markupsafe import Markup
from matplotlib.figure import Figure

from benchmarks.report.classes import shares
from benchmarks.report.svg import GRID, draw_heat_map, in_page_style, inline_svg, series_colour
from unicode_cmg.data import LabelledClips
from unicode_cmg.data.digits.clips import PROMPTS
from unicode_cmg.data.digits.hard_clips import PAIR_PROMPTS
from unicode_cmg.data.digits.sources import CLASSES, word_vector
from unicode_cmg.inspect import DescribedCodes
from unicode_cmg.inspect.codes.usage import BETWEEN, SHARED, SINGLE, UNUSED
from unicode_cmg.inspect.frames import png_uri, scan_image, sound_image


@in_page_style
def sharing_bars(codes: DescribedCodes) -> Markup:
    """A stacked bar for each used code, by kind and then by the first modality's part."""
    modalities = list(codes.modalities)
    rank = {SHARED: 0, BETWEEN: 1, SINGLE: 2}
    used = [(rank[c.kind], *(-c.shares[m] for m in modalities)) for c in codes.codes if c.kind != UNUSED]
    parts = -np.array(sorted(used)).reshape(len(used), 1 + len(modalities))[:, 1:]
    figure = Figure(figsize=(8.2, 1.7), layout="constrained")
    axes = figure.subplots()
    base = np.zeros(len(used))
    gap = 0.88 if len(used) <= 150 else 1.0
    for modality, part in zip(modalities, parts.T, strict=True):
        colour = series_colour(modality, modalities)
        axes.bar(np.arange(len(used)) + 0.5, part, gap, base, color=colour, linewidth=0)
        base += part
    axes.set_xlim(0, max(len(used), 1))
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_xlabel("used codes, from shared to single")
    axes.grid(visible=False, axis="x")
    return inline_svg(figure, f"Part of {', '.join(modalities)} in each of the {len(used)} used codes")


def contingency(codes: DescribedCodes) -> dict[str, Int[np.ndarray, "codes classes"]]:
    """Modality -> steps on each code by class, background last; nothing without labels."""
    tables = [code.by_class.counts for code in codes.codes if code.by_class is not None]
    return {m: np.array([table[m] for table in tables]) for m in codes.modalities} if tables else {}


def code_order(
    parts: Mapping[str, Float[np.ndarray, "codes classes"]],
) -> tuple[Int64[np.ndarray, " used"], Int64[np.ndarray, " used"]]:
    """Used codes grouped by the class they stand for, most telling first.

    A code stands for the class in which its share, summed over the modalities, is largest.

    Args:
        parts: Modality -> share of each class's steps that fell on each code.

    Returns:
        The codes in order, and the class each stands for.
    """
    together = np.sum(list(parts.values()), axis=0)
    used = np.flatnonzero(together.sum(axis=1) > 0)
    stands_for = together[used].argmax(axis=1)
    order = np.lexsort((-together[used].max(axis=1), stands_for))
    return used[order].astype(np.int64), stands_for[order].astype(np.int64)


@in_page_style
def contingency_maps(codes: DescribedCodes, classes: Sequence[str]) -> Markup:
    """Heat maps side by side, one a modality: rows are codes in one common order, columns are classes."""
    parts = {modality: shares(table.T).T for modality, table in contingency(codes).items()}
    order, stands_for = code_order(parts)
    figure = Figure(figsize=(8.2, 3.9), layout="constrained")
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for axes, (modality, values) in zip(panels, parts.items(), strict=True):
        draw_heat_map(axes, values[order] / max(values.max(), 1e-12), modality, list(parts))
        for edge in np.flatnonzero(np.diff(stands_for)) + 0.5:
            axes.axhline(edge, color=GRID, linewidth=0.6)
        axes.set_title(modality)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks([])
    panels[0].set_ylabel(f"{len(order)} used codes, by the class they stand for")
    return inline_svg(figure, f"Share of each class's steps per code, for {', '.join(parts)}")


def telling_codes(codes: DescribedCodes, modalities: Sequence[str]) -> list[tuple[int, int]]:
    """For each class the code that all `modalities` use most for it, as `(class, row of the tables)`.

    Codes used more for another class, or for background, do not count. What decides is the smallest of the
    modalities' shares, or, where no code is common, their sum. A class without a code of its own is left out.
    """
    counted = contingency(codes)
    tables = np.stack([counted[name] for name in modalities])
    parts = np.stack([shares(table.T).T for table in tables])
    main_class = tables.sum(axis=0).argmax(axis=1)
    chosen = []
    for number in range(tables.shape[2] - 1):
        merit = parts[..., number].min(axis=0) + 1e-6 * parts[..., number].sum(axis=0)
        merit[main_class != number] = 0
        if merit.any():
            chosen.append((number, int(merit.argmax())))
    return chosen


class Card(NamedTuple):
    """A code, the class it stands for, and examples: modality -> a text, and an image as a data URI.

    The text of a step that has no image is its word.
    """

    code: int
    stands_for: str
    examples: dict[str, list[tuple[str, str | None]]]


def digit_cards(codes: DescribedCodes, data: Path) -> list[Card]:
    """One card for each class that has a code of its own; none if the codes are not of these digits.

    Args:
        codes: What the codes stand for.
        data: Folder of embedded digits.

    Raises:
        InputError: The data is damaged.
    """
    if codes.labels is None:
        return []
    clips = LabelledClips.open(data, codes.labels.split)
    if clips.fingerprint != codes.features:
        return []
    cards = []
    for number, row in telling_codes(codes, [m for m in ("video", "audio") if m in codes.modalities]):
        entry = codes.codes[row]
        places = entry.by_class.examples if entry.by_class else {}
        examples = {m: [_example(clips, m, *place) for place in here] for m, here in places.items()}
        cards.append(Card(entry.code, codes.labels.classes[number], examples))
    return cards


def _example(clips: LabelledClips, modality: str, row: int, step: int) -> tuple[str, str | None]:
    vector = clips.data.features(modality, np.array([row]))[0, step]
    if modality == "text":
        words, vectors = _vocabulary()
        return words[int(((vectors - vector) ** 2).sum(axis=1).argmin())], None
    spoken = clips.data.classes[int(clips.data.clip_labels(np.array([row]))[0])]
    image = scan_image(vector) if modality == "video" else sound_image(vector)
    return f"{spoken}, clip {row}, step {step}", png_uri(image)


@cache
def _vocabulary() -> tuple[list[str], Float[np.ndarray, "words 32"]]:
    prompts = (*PROMPTS, *PAIR_PROMPTS)
    words = sorted({word for prompt in prompts for word in prompt.split() if word != "{}"} | set(CLASSES))
    return words, np.stack([word_vector(word) for word in words])
