"""Text tables: csv files whose separator is a tab or a comma, and lists with one name on each line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text


def data_folder(root: Path) -> Path:
    """Where a data set keeps its tables: in `data/` inside its folder, or in the folder itself."""
    return root / "data" if (root / "data").is_dir() else root


def set_folder(root: Path, name: str) -> Path:
    """The folder of a data set, `name` in `root`, or `root` itself if that does not contain it."""
    return root / name if (root / name).is_dir() else root


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The named columns of each row. The separator is a tab if the header line has one, else a comma.

    Raises:
        InputError: The file is missing or empty, lacks a column, or a row is short.
    """
    text = read_text(path).removeprefix("\ufeff")  # as some spreadsheets begin a file
    separator = "\t" if "\t" in text.splitlines()[0] else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    table = []
    try:
        header = next(rows)
        for column in columns:
            if column not in header:
                expected = f"a header line with {', '.join(columns)}"
                raise InputError(f"no column '{column}'", where=path, expected=expected)
        places = [header.index(column) for column in columns]
        for row in filter(None, rows):
            if len(row) <= max(places):
                raise InputError("a row with too few columns", where=f"{path}, line {rows.line_num}")
            table.append(tuple(row[place] for place in places))
    except csv.Error as error:
        raise InputError(f"not a table ({error})", where=f"{path}, line {rows.line_num}") from None
    if not table:
        raise InputError("no row after the header line", where=path)
    return table


def whole_seconds(text: str) -> int | None:
    """The number in `text`, which may be written as floating point (`9.0`); None if it is not a whole one."""
    match = re.fullmatch(r"(\d{1,9})(?:\.0*)?", text.strip())
    return None if match is None else int(match[1])


def write_table(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    separator: str = ",",
    *,
    quoted: bool = False,
) -> None:
    """Write a header line and rows; `quoted` puts every value in quotes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(
            file,
            delimiter=separator,
            lineterminator="\n",
            quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
        )
        writer.writerows([columns, *rows])


def read_names(path: Path) -> tuple[str, ...]:
    """The lines of a list without trailing white space; empty lines are skipped.

    Raises:
        InputError: The file is missing or empty, or a name occurs twice.
    """
    text = read_text(path).removeprefix("\ufeff")
    names = tuple(line.rstrip() for line in text.splitlines() if line.strip())
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"'{repeated[0]}' occurs twice", where=path)
    return names


def check_class(category: str, classes: Sequence[str], *, clip: str, where: object) -> None:
    """Refuse a class that is not in a list.

    Raises:
        InputError: It is not; `clip` is the name of its clip.
    """
    if category not in classes:
        raise InputError(f"the class '{category}' of '{clip}'", where=where, expected="a class of the list")
