"""A table of clips: the columns of a feature store, or a csv file whose rows name its clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.sources.clip_table import match_ids, names_of_columns, read_table
from unicode_cmg.errors import InputError, unknown

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
        ids: The column of the ids of a file.
    """

    where: Path
    rows: tuple[int, ...]
    columns: Mapping[str, tuple[str, ...]]
    lines: tuple[int, ...] | None
    notes: tuple[str, ...] = ()
    ids: str | None = None

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


def csv_table(path: Path, store: FeatureStore, id_column: str | None) -> ClipTable:
    """A csv or JSON file with rows of the clips of a store.

    Args:
        path: The file.
        store: Whose clips its rows name; rows of other clips are left out and counted.
        id_column: The column of their ids; by default the one that names most clips.

    Raises:
        InputError: The file is missing or no table, a row has too few or too many values, or no row is of a
            clip of the store.
    """
    table = read_table(path)
    found = match_ids(table, store.ids, path, id_column)
    inside = [row for row, clip in enumerate(found.clips) if clip is not None]
    outside = [i for i, clip in zip(table.column(found.column), found.clips, strict=True) if clip is None]
    notes = [f"{path.name}: {note}." for note in found.notes]
    if outside:
        notes.append(
            f"{path.name}: {len(outside)} rows are of clips that the store does not have ({listed(outside)})."
        )
    rows, lines = list(table.lines.values()), list(table.lines)
    columns = {name: tuple(rows[row][c] for row in inside) for c, name in enumerate(table.header)}
    for name, known in names_of_columns(table).items():
        if name != known:
            columns[known] = columns[name]
            notes.append(f"{path.name}: column '{name}' is taken as '{known}'.")
    return ClipTable(
        path,
        tuple(clip for clip in found.clips if clip is not None),
        columns,
        tuple(lines[row] for row in inside),
        tuple(notes),
        found.column,
    )


def listed(names: Sequence[str]) -> str:
    """The first few names."""
    different = list(dict.fromkeys(names))
    return ", ".join(different[:_SHOWN]) + (", …" if len(different) > _SHOWN else "")
