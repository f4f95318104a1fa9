"""A table of clips: the columns of a feature store, or a csv file whose rows name its clips."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import read_text

UNKNOWN = frozenset(("", "nan", "na", "n/a", "<na>", "null"))
"""Values, in lower case, that say that something is not known."""
_SHOWN = 3


@dataclass(frozen=True)
class ClipTable:
    """What is known of some clips.

    Attributes:
        where: The file or folder, for error messages.
        rows: Row of the store, for each row of the table.
        columns: Name -> a value for each row of the table, without white space around it.
        lines: Line of the file, for each row of the table; None for a store.
        notes: Sentences on rows that were left out.
    """

    where: Path
    rows: tuple[int, ...]
    columns: Mapping[str, tuple[str, ...]]
    lines: tuple[int, ...] | None
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> tuple[str, ...]:
        """The values of a column.

        Raises:
            InputError: There is none of this name.
        """
        if name not in self.columns:
            raise unknown("column", name, self.columns, where=self.where)
        return self.columns[name]

    def place(self, row: int) -> str:
        """Where a row of the table stands, for error messages."""
        return f"{self.where}, line {self.lines[row]}" if self.lines else str(self.where)

    def by_clip(self, name: str, clips: int) -> list[str]:
        """One value for each clip of the store, empty where the table has none.

        Raises:
            InputError: There is no such column, or a clip has two values.
        """
        found = [""] * clips
        for row, (clip, value) in enumerate(zip(self.rows, self.column(name), strict=True)):
            if value.lower() in UNKNOWN:
                continue
            if found[clip] not in ("", value):
                raise InputError(
                    f"'{found[clip]}' and '{value}' in column '{name}' for one clip", where=self.place(row)
                )
            found[clip] = value
        return found


def store_table(store: FeatureStore) -> ClipTable:
    """The columns of a store.

    Raises:
        InputError: The store has none.
    """
    if not store.columns:
        raise InputError(
            "the store says nothing of its clips but their ids",
            where=store.path,
            expected="columns such as label",
            fix="give a csv file with --labels, or write the store with columns",
        )
    columns = {name: tuple(map(str.strip, values)) for name, values in store.columns.items()}
    return ClipTable(store.path, tuple(range(len(store))), columns, None)


def csv_table(path: Path, store: FeatureStore, id_column: str) -> ClipTable:
    """A csv file. Separators are commas, semicolons or tabs, whichever the header line has most of.

    Args:
        path: The file.
        store: Whose clips its rows name; rows of other clips are left out and counted.
        id_column: The column of their ids.

    Raises:
        InputError: The file is missing or no table, a row has too few or too many values, or no row is of a
            clip of the store.
    """
    text = read_text(path).removeprefix("\ufeff")
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first.count)
    header, body, lines = _cells(path, text, separator)
    if id_column not in header:
        raise InputError(
            f"no column '{id_column}'",
            where=path,
            expected=f"ids of clips in one of its columns {', '.join(header)}",
            fix="name it with --id-column",
        )
    place = {clip: row for row, clip in enumerate(store.ids)}
    ids = [cells[header.index(id_column)] for cells in body]
    inside = [row for row, clip in enumerate(ids) if clip in place]
    if not inside:
        raise InputError(
            f"none of its {len(ids)} ids, such as '{ids[0]}', is that of a clip",
            where=path,
            expected=f"ids of {store.path}, such as '{store.ids[0]}'",
        )
    notes = []
    if outside := [clip for clip in ids if clip not in place]:
        notes.append(
            f"{path.name}: {len(outside)} rows are of clips that the store does not have ({listed(outside)})."
        )
    return ClipTable(
        path,
        tuple(place[ids[row]] for row in inside),
        {name: tuple(body[row][c] for row in inside) for c, name in enumerate(header)},
        tuple(lines[row] for row in inside),
        tuple(notes),
    )


def _cells(path: Path, text: str, separator: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, cells of each row and its line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    body, lines = [], []
    try:
        header = [name.strip() for name in next(filter(None, reader), [])]
        for name, count in Counter(header).items():
            if count > 1 or not name:
                what = f"{count} columns '{name}'" if name else "a column without a name"
                raise InputError(what, where=path, expected="a header line with different names")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{len(cells)} values",
                    where=f"{path}, line {reader.line_num}",
                    expected=f"{len(header)}: {', '.join(header)}",
                    fix=f"put a value that holds a '{separator}' in double quotes",
                )
            body.append([cell.strip() for cell in cells])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"not a csv table ({error})", where=f"{path}, line {reader.line_num}") from None
    if not body:
        raise InputError("no row after the header line", where=path)
    return header, body, lines


def listed(names: Sequence[str]) -> str:
    """The first few names."""
    different = list(dict.fromkeys(names))
    return ", ".join(different[:_SHOWN]) + (", …" if len(different) > _SHOWN else "")
