"""Clips of raw media before they are decoded, and what of them could not be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unicode_cmg.extract.decoding.file import Location
from unicode_cmg.extract.media import Kind

_OF_KINDS: Mapping[Kind, str] = {
    "audio": "wav flac ogg oga opus mp3 mp2 m4a m4b aac ac3 amr aif aiff aifc au caf w64 mka weba wma",
    "video": "mp4 mkv webm avi mov m4v mpg mpeg wmv asf flv f4v 3gp 3g2 ogv ts mts m2ts vob",
    "image": "jpg jpeg jpe jfif png apng bmp gif webp tif tiff ppm pgm jp2 tga svg avif heic heif",
    "text": "txt",
}
SUFFIXES = {f".{suffix}": kind for kind, suffixes in _OF_KINDS.items() for suffix in suffixes.split()}
"""Suffix of a file -> what it holds."""
READS: Mapping[Kind, tuple[Kind, ...]] = {
    "audio": ("audio", "video"),
    "video": ("video",),
    "image": ("image",),
    "text": ("text",),
}
"""What a modality of a kind is read from, the best first: the sound of a video serves as audio."""


def kind_of(name: str) -> Kind | None:
    """What a file holds, by its name; None if it is no file of media."""
    return SUFFIXES.get(Path(name).suffix.lower())


def is_id(text: str) -> bool:
    """Whether a text can be the id of a clip: one line, which can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return len(text.splitlines()) == 1 and bool(text.strip())


@dataclass(frozen=True)
class Clip:
    """Where the modalities of one clip are.

    Attributes:
        id: Its id.
        media: Modality -> its file, or its sentences. One that is not named is absent.
        start: Second of its files at which it starts.
        end: Second of its files at which it ends; None: where they end.
        columns: What else is known of it, such as its label.
    """

    id: str
    media: Mapping[str, Location]
    start: float = 0.0
    end: float | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """Something that could not be used.

    Attributes:
        clip: The clip; empty if it is not known.
        modality: The modality; empty if it is the whole clip.
        file: Where it is from.
        kind: A few words that several have in common: "truncated".
        reason: What is wrong with it.
    """

    clip: str
    modality: str
    file: str
    kind: str
    reason: str

    def text(self) -> str:
        """One line for people, also of a file whose name has several."""
        about = ", ".join([f"clip '{self.clip}'"] * bool(self.clip) + [self.modality] * bool(self.modality))
        return " ".join(f"{self.file}: {self.reason}{f' ({about})' if about else ''}".splitlines())


@dataclass(frozen=True)
class MediaSource:
    """The clips of a source.

    Attributes:
        kind: What was recognized, such as "a folder of media".
        path: Where it is.
        root: The folder that files of its clips may not leave.
        clips: In the order in which they are written; no id occurs twice.
        columns: Names of what is known of each clip.
        broken: What was left out of the clips.
        notes: What was recognized, guessed and ignored, a line each.
    """

    kind: str
    path: Path
    root: Path
    clips: Sequence[Clip]
    columns: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()
    notes: tuple[str, ...] = ()
