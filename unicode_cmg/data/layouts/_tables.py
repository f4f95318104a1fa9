"""Small tables of text: csv files whose separator is a tab or a comma, and lists of one name a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text


def data_folder(root: Path) -> Path:
    """Where a data set keeps its tables: in `data/` inside its folder, or in the folder itself."""
    return root / "data" if (root / "data").is_dir() else root


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The named columns of each row; the separator is a tab if the header line has one, else a comma.

    Raises:
        InputError: The file is missing or empty, lacks a column, or a row is short.
    """
    text = read_text(path).removeprefix("\ufeff")  # as some spreadsheets begin a file
    separator = "\t" if "\t" in text.splitlines()[0] else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return _rows(rows, columns, path)
    except csv.Error as error:
        raise InputError(f"not a table ({error})", where=f"{path}, line {rows.line_num}") from None


def _rows(rows: csv.DictReader[str], columns: Sequence[str], path: Path) -> list[tuple[str, ...]]:
    missing = [column for column in columns if column not in (rows.fieldnames or ())]
    if missing:
        raise InputError(
            f"no column '{missing[0]}'", where=path, expected=f"a header line with {', '.join(columns)}"
        )
    table = []
    for row in rows:
        values = tuple(row[column] for column in columns)
        if None in values:
            raise InputError("a row with too few columns", where=f"{path}, line {rows.line_num}")
        table.append(values)
    if not table:
        raise InputError("no row after the header line", where=path)
    return table


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], separator: str = "\t"
) -> None:
    """Write a header line and rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator="\n").writerows([columns, *rows])


def read_names(path: Path) -> tuple[str, ...]:
    """The lines of a list, kept as they are but for trailing white space; empty lines are skipped.

    Raises:
        InputError: The file is missing or empty, or a name occurs twice.
    """
    text = read_text(path).removeprefix("\ufeff")
    names = tuple(line.rstrip() for line in text.splitlines() if line.strip())
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"'{repeated[0]}' occurs twice", where=path)
    return names
