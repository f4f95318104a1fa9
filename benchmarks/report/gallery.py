"""Clips behind the codes: what the embedded digits look and sound like where they got the same code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.evaluation.code_usage import CodeUsage
from benchmarks.report.codes import telling_codes
from unicode_cmg.data.digits.clips import PROMPTS
from unicode_cmg.data.digits.images import png_uri, scan_image, sound_image
from unicode_cmg.data.digits.sources import CLASSES, word_vector
from unicode_cmg.data.layouts.ave import AVEData, read_ave


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


def digit_cards(usage: CodeUsage, data: Path) -> list[Card]:
    """One card for each class that has a code of its own.

    Args:
        usage: Where each code was seen.
        data: Folder of the digits the usage was counted on.

    Raises:
        InputError: The data is damaged.
    """
    clips = read_ave(data / "AVE")
    seen = [name for name in ("video", "audio") if name in usage.contingency]
    return [
        Card(
            code,
            f"stands for “{usage.classes[number]}”",
            [_strip(usage, clips, name, code) for name in usage.examples],
        )
        for number, code in telling_codes(usage, seen)
    ]


def _strip(usage: CodeUsage, clips: AVEData, modality: str, code: int) -> Strip:
    pictures = []
    for row, step in usage.examples[modality].get(code, ()):
        vector = clips.features(modality, np.array([row]))[0, step]
        spoken = usage.classes[int(clips.clip_labels(np.array([row]))[0])]
        pictures.append(_DRAW[modality](vector, f"{spoken}, clip {row}, step {step}"))
    return Strip(modality, pictures)


def _scan(vector: Float[np.ndarray, "7 7 16"], alt: str) -> Picture:
    return Picture(alt, png_uri(scan_image(vector)))


def _sound(vector: Float[np.ndarray, " 104"], alt: str) -> Picture:
    return Picture(alt, png_uri(sound_image(vector)))


def _word(vector: Float[np.ndarray, " 32"], alt: str) -> Picture:
    words, vectors = _vocabulary()
    return Picture(words[int(((vectors - vector) ** 2).sum(axis=1).argmin())])


_DRAW = {"video": _scan, "audio": _sound, "text": _word}


@cache
def _vocabulary() -> tuple[list[str], Float[np.ndarray, "words 32"]]:
    words = sorted({word for prompt in PROMPTS for word in prompt.split() if word != "{}"} | set(CLASSES))
    return words, np.stack([word_vector(word) for word in words])
