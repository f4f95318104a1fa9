"""`Annotations.txt` of AVE: what happens in each clip, and when."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text

_HEADER = "Category&VideoID&"


class Annotation(NamedTuple):
    """One line of `Annotations.txt`: seconds `start` to `end`, `end` exclusive."""

    category: str
    video_id: str
    start: int
    end: int


def annotation_lines(path: Path) -> tuple[list[str], bool]:
    """The lines of the clips, and whether there was the header line of later copies before them.

    Raises:
        InputError: The file is missing or empty.
    """
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    header = lines[0].startswith(_HEADER)
    return lines[header:], header


def parse_annotation(line: str, steps: int, *, where: object) -> Annotation:
    """One line, `category&video id&quality&start&end`.

    Raises:
        InputError: It has another form, or its seconds are not in 0..`steps`.
    """
    parts = [part.strip() for part in line.split("&")]
    if len(parts) != 5 or not (parts[0] and parts[1] and parts[3].isdecimal() and parts[4].isdecimal()):
        raise InputError(f"the line '{line}'", where=where, expected="category&video id&quality&start&end")
    start, end = int(parts[3]), int(parts[4])
    if not start <= end <= steps:
        raise InputError(
            f"an event from {start} to {end} in '{parts[1]}'", where=where, expected=f"seconds in 0..{steps}"
        )
    return Annotation(parts[0], parts[1], start, end)


def read_annotations(path: Path, clips: int, steps: int) -> tuple[Annotation, ...]:
    """All of them, in both published forms: with the header line, and without.

    Raises:
        InputError: As `parse_annotation`; or there are not as many as clips.
    """
    lines, _ = annotation_lines(path)
    annotations = tuple(
        parse_annotation(line, steps, where=f"{path}, annotation {number}")
        for number, line in enumerate(lines, 1)
    )
    if len(annotations) != clips:
        raise InputError(
            f"{len(annotations)} annotations", where=path, expected=f"{clips}, one a row of the labels"
        )
    return annotations
