"""Lists of published data sets: several files, files without a header line, and tables joined to them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import Field

from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.extract.clips import Broken
from unicode_cmg.extract.sources.rows import Rows, bad_row, read_rows
from unicode_cmg.files import inside, read_text


class Join(Config):
    """A further table, whose columns are added to the rows that it fits."""

    file: str = Field(description="the table, in the folder of the data set")
    column: str = Field(description="column of the list")
    key: str = Field(description="column of the table with the same values")


class Listing(Config):
    """The list of clips of a data set that is a folder."""

    file: str | dict[str, str] = Field(
        description="the list; or split -> list, which adds the column 'split'"
    )
    columns: tuple[str, ...] | None = Field(
        default=None, description="names of the columns of a list without a header line"
    )
    separator: str = Field(
        default=",", min_length=1, max_length=1, description="between them, with 'columns'"
    )
    header: str | None = Field(
        default=None, description="how a header line begins, in copies that have one, with 'columns'"
    )
    join: Join | None = Field(default=None, description="a table to join")
    captions: tuple[str, ...] | None = Field(
        default=None,
        description="columns of captions: each is a clip ID, ID#1, ID#2 ... with a column 'caption', and the"
        " first one has the files",
    )

    def read(self, folder: Path) -> Rows:
        """The rows of all lists.

        Raises:
            InputError: A list is missing or damaged, or leads out of the folder.
        """
        files = {"": self.file} if isinstance(self.file, str) else self.file
        rows: list[dict[str, Any]] = []
        places: list[str] = []
        broken: list[Broken] = []
        for split, file in files.items():
            found = self._one(inside(folder, folder / file))
            extra = {"split": split} if split else {}
            rows += [{**row, **extra} for row in found.rows]
            places += map(found.place, range(len(found.rows)))
            broken += found.broken
        if self.join is not None:
            rows, unfit = _joined(rows, folder, self.join)
            broken += unfit
        if self.captions is not None:
            places = [place for place in places for _ in self.captions]
            rows = [_of_caption(row, name, self.captions) for row in rows for name in self.captions]
        names = list(dict.fromkeys(name for row in rows for name in row))
        return Rows(folder, names, rows, places.__getitem__, broken=broken)

    def _one(self, path: Path) -> Rows:
        if self.columns is None:
            return read_rows(path)
        text = read_text(path).removeprefix("\ufeff")
        lines = csv.reader(StringIO(text, newline=""), delimiter=self.separator)
        rows: list[dict[str, str]] = []
        places: list[str] = []
        broken: list[Broken] = []
        for line in lines:
            place = f"{path}, line {lines.line_num}"
            if not line or (not rows and self.header is not None and line[0].startswith(self.header)):
                continue
            if len(line) != len(self.columns):
                expected = f"{len(self.columns)}: {', '.join(self.columns)}"
                broken.append(bad_row(place, f"it has {len(line)} values, not {expected}"))
                continue
            rows.append(dict(zip(self.columns, line, strict=True)))
            places.append(place)
        return Rows(path, self.columns, rows, places.__getitem__, broken=broken)


def _of_caption(row: dict[str, Any], name: str, captions: tuple[str, ...]) -> dict[str, Any]:
    return {**{key: value for key, value in row.items() if key not in captions}, "caption": row.get(name)}


def _joined(
    rows: list[dict[str, Any]], folder: Path, join: Join
) -> tuple[list[dict[str, Any]], Sequence[Broken]]:
    """The rows with the columns of a table, and what cannot be read in it."""
    path = inside(folder, folder / join.file)
    table = read_rows(path)
    if join.key not in table.names:
        raise InputError(f"no column '{join.key}'", where=path)
    none = {name: None for name in table.names if name != join.key}
    by_key = {str(row.get(join.key)): {name: row.get(name) for name in none} for row in table.rows}
    return [{**by_key.get(str(row.get(join.column)), none), **row} for row in rows], table.broken
