"""The list of what could not be used: `broken.csv` in the store."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from io import StringIO
from pathlib import Path

from unicode_cmg.errors import InputError
from unicode_cmg.extract.clips import Broken
from unicode_cmg.files import atomic_file, csv_cell, disk_errors, read_text

_HEADER = [each.name for each in fields(Broken)]


class BrokenList:
    """Entries of one extraction, appended as they are found and put in order at its end.

    Args:
        path: The csv file. What it holds from an earlier run stays, except for clips that are read again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, list[Broken]] = {}
        if path.is_file():
            for entry in _read(path):
                self._entries.setdefault(entry.clip, []).append(entry)
            self.finish({})  # a killed run may have left half a line

    def add(self, clips: Iterable[str], broken: Iterable[Broken]) -> None:
        """Some clips were read: these entries take the place of those that they had."""
        for clip in clips:
            self._entries.pop(_cell(clip), None)
        new = list(broken)
        for entry in new:
            self._entries.setdefault(_cell(entry.clip), []).append(entry)
        if new:
            first = not self.path.is_file()
            with disk_errors(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                if first:
                    writer.writerow(_HEADER)
                writer.writerows(map(_row, new))

    def finish(self, order: Mapping[str, int]) -> None:
        """Write the entries in the order of the clips, each once; no entry, no file."""
        if not self._entries:
            self.path.unlink(missing_ok=True)
            return
        places = {_cell(clip): place for clip, place in order.items()}
        clips = sorted(self._entries, key=lambda clip: (places.get(clip, -1), clip))
        with atomic_file(self.path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_HEADER)
            writer.writerows(_row(entry) for clip in clips for entry in self._entries[clip])

    def __iter__(self) -> Iterator[Broken]:
        return (entry for entries in self._entries.values() for entry in entries)


def _cell(text: str) -> str:
    return str(csv_cell(text))


def _row(entry: Broken) -> list[str]:
    return [_cell(str(getattr(entry, name))) for name in _HEADER]


def _read(path: Path) -> list[Broken]:
    try:
        header, *rows = csv.reader(StringIO(read_text(path), newline=""))
    except (csv.Error, ValueError) as error:
        raise InputError(f"not a list of broken files ({error})", where=path, fix="remove it") from None
    if header != _HEADER:
        raise InputError(
            "not a list of broken files", where=path, expected=",".join(_HEADER), fix="remove it"
        )
    return [Broken(*row) for row in rows if len(row) == len(_HEADER)]
