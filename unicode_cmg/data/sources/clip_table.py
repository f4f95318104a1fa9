"""A csv beside the features: labels, splits and whatever else is known of each clip."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unicode_cmg.data.sources.source import IDS, Source
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import reading

_LONGEST_VALUE = 16 << 20  # a text may have more words than csv allows by itself
_NAMES = ("clips", "labels", "metadata")


def table_beside(source: Path) -> Path | None:
    """A csv that belongs to a source: in the folder, or beside the file with its name."""
    if source.is_dir():
        places = [source / f"{name}{suffix}" for name in _NAMES for suffix in (".csv", ".tsv")]
    else:
        places = [source.with_suffix(suffix) for suffix in (".csv", ".tsv")]
    return next((place for place in places if place.is_file()), None)


def join_table(source: Source, path: Path, ids: str | None, unfit: dict[int, str] | None = None) -> None:
    """Add the columns of a csv to a source, by the ids of its clips, or by rows if the source has no ids.

    Args:
        source: What to add to.
        path: The csv.
        ids: The column with the ids; guessed by default.
        unfit: Takes the lines that cannot be used, and why; None: refuse them.

    Raises:
        InputError: The file is damaged, an id occurs twice, or no row fits.
    """
    header, by_line = read_csv(path, unfit)
    rows = list(by_line.values())
    key = ids or next((name for known in IDS for name in header if name.lower() == known), None)
    if key is not None and key not in header:
        raise unknown("column", key, header, where=path)
    if source.ids is None and len(rows) != source.clips:
        what = f"{len(rows)} rows, but the source has {source.clips} clips and no ids"
        raise InputError(what, where=path, expected="a row for each clip, in their order")
    if source.ids is None:
        order: list[int | None] = list(range(len(rows)))
        source.notes.append(f"{path.name}: the clips have no ids, so its rows are taken in their order")
        if key is not None:
            source.ids, source.ids_from = [row[header.index(key)] for row in rows], f"'{key}' of {path.name}"
    else:
        key = header[0] if key is None else key
        named = dict(zip(by_line, (row[header.index(key)] for row in rows), strict=True))
        order = _matched(source, named, key, path, unfit)
    for at, name in enumerate(header):
        if name != key:
            source.columns[name] = [None if row is None else rows[row][at] for row in order]


def _matched(
    source: Source, named: Mapping[int, str], key: str, path: Path, unfit: dict[int, str] | None
) -> list[int | None]:
    """The row of each clip, of lines with their ids; a clip without one has no values."""
    found: dict[str, int] = {}
    for row, (line, clip) in enumerate(named.items()):
        if clip not in found:
            found[clip] = row
        elif unfit is None:
            what = f"the id '{clip}' occurs twice"
            raise InputError(what, where=f"{path}, line {line}", expected=f"one row for each '{key}'")
        else:
            unfit[line] = f"the id '{clip}' occurs twice, and its first row is used"
    ids = [str(clip) for clip in source.ids or ()]
    if not any(clip in found for clip in ids):
        stems = {Path(clip).stem: row for clip, row in found.items()}
        if len(stems) == len(found) and any(clip in stems for clip in ids):
            found = stems
            ending = Path(next(iter(named.values()))).suffix
            source.notes.append(f"{path.name}: endings such as {ending} are cut from '{key}'")
    order = [found.get(clip) for clip in ids]
    missing, unused = order.count(None), len(found) - len({row for row in order if row is not None})
    if missing == len(ids):
        raise InputError(
            f"no id of column '{key}' is an id of the features, such as '{ids[0]}'",
            where=path,
            fix="name the column of the ids by --id-column",
        )
    if missing or unused:
        source.notes.append(f"{path.name}: {missing} clips have no row, {unused} rows have no clip")
    return order


def read_csv(path: Path, unfit: dict[int, str] | None = None) -> tuple[list[str], dict[int, list[str]]]:
    """A csv; separated by tabs if its first line has one, else by semicolons or commas, whichever are more.

    Args:
        path: The file.
        unfit: Takes the lines that cannot be read or do not fit the first one, and why; None: refuse them.

    Returns:
        The names in the first line, and line -> its values. Columns without a name are left out.

    Raises:
        InputError: The file is damaged, or has no row.
    """
    longest = csv.field_size_limit(_LONGEST_VALUE)
    try:
        with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = "\t" if "\t" in first else max(",;", key=first.count)
            lines = csv.reader(file, delimiter=separator, strict=True)
            names = next(lines)
            rows = dict(_rows(lines, len(names), path, unfit))
    except UnicodeDecodeError:
        raise InputError("not a text file", where=path, expected="UTF-8 text") from None
    except (csv.Error, ValueError) as error:
        raise InputError(f"not a table ({error})", where=path) from None
    finally:
        csv.field_size_limit(longest)
    kept = [at for at, name in enumerate(names) if name.strip()]
    header = [names[at].strip() for at in kept]
    if not (rows or unfit) or not header or len(set(header)) != len(header):
        expected = "a line of different names, and a row for each clip"
        raise InputError("not a table of clips", where=path, expected=expected)
    return header, {line: [row[at] for at in kept] for line, row in rows.items()}


def _rows(
    lines: Any, columns: int, path: Path, unfit: dict[int, str] | None
) -> Iterator[tuple[int, list[str]]]:
    """Line -> its values, of lines that have any."""
    while True:
        start = lines.line_num + 1
        try:
            row = next(lines, None)
        except csv.Error as error:
            if unfit is None or lines.line_num > start:  # a quote that is not closed has hidden whole lines
                raise InputError(f"not a table ({error})", where=f"{path}, line {start}") from None
            unfit[start] = str(error)
            continue
        if row is None:
            return
        if row and len(row) != columns:
            if unfit is None:
                expected = f"{columns}, as in the first line"
                raise InputError(f"{len(row)} values", where=f"{path}, line {start}", expected=expected)
            unfit[start] = f"it has {len(row)} values, not {columns} as the first line"
        elif row:
            yield start, row
