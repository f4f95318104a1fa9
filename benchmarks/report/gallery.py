"""Clips behind the codes: what the embedded digits look and sound like where they got the same code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.report.meaning import telling_codes
from unicode_cmg.data import LabelledClips
from unicode_cmg.data.digits.clips import PROMPTS
from unicode_cmg.data.digits.sources import CLASSES, word_vector
from unicode_cmg.data.layouts.ave import AVEData
from unicode_cmg.inspect import DescribedCodes
from unicode_cmg.inspect.frames import png_uri, scan_image, sound_image


@dataclass(frozen=True)
class Picture:
    """One step of one clip: an image as a data URI, or a word."""

    alt: str
    uri: str | None = None


@dataclass(frozen=True)
class Strip:
    """Examples of a code in one modality."""

    modality: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Card:
    """One code: the class it stands for, and examples from each modality."""

    code: int
    note: str
    strips: list[Strip]


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
        examples = entry.by_class.examples if entry.by_class else {}
        strips = [_strip(clips.data, name, places) for name, places in examples.items()]
        cards.append(Card(entry.code, f"stands for “{codes.labels.classes[number]}”", strips))
    return cards


def _strip(data: AVEData, modality: str, places: Sequence[tuple[int, int]]) -> Strip:
    pictures = []
    for row, step in places:
        vector = data.features(modality, np.array([row]))[0, step]
        spoken = data.classes[int(data.clip_labels(np.array([row]))[0])]
        pictures.append(_picture(modality, vector, f"{spoken}, clip {row}, step {step}"))
    return Strip(modality, pictures)


def _picture(modality: str, vector: Float[np.ndarray, ...], alt: str) -> Picture:
    if modality == "text":
        words, vectors = _vocabulary()
        return Picture(words[int(((vectors - vector) ** 2).sum(axis=1).argmin())])
    return Picture(alt, png_uri(scan_image(vector) if modality == "video" else sound_image(vector)))


@cache
def _vocabulary() -> tuple[list[str], Float[np.ndarray, "words 32"]]:
    words = sorted({word for prompt in PROMPTS for word in prompt.split() if word != "{}"} | set(CLASSES))
    return words, np.stack([word_vector(word) for word in words])
