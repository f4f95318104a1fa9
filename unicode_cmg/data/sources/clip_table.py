"""A csv beside the features: labels, splits and whatever else is known of each clip."""

from __future__ import annotations

import csv
from pathlib import Path

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


def join_table(source: Source, path: Path, ids: str | None) -> None:
    """Add the columns of a csv to a source, by the ids of its clips, or by rows if the source has no ids.

    Args:
        source: What to add to.
        path: The csv; separated by tabs if its first line has one, else by commas.
        ids: The column with the ids; guessed by default.

    Raises:
        InputError: The file is damaged, an id occurs twice, or no row fits.
    """
    header, rows = read_csv(path)
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
        order = _matched(source, [row[header.index(key)] for row in rows], key, path)
    for at, name in enumerate(header):
        if name != key:
            source.columns[name] = [None if row is None else rows[row][at] for row in order]


def _matched(source: Source, named: list[str], key: str, path: Path) -> list[int | None]:
    """The row of each clip; a clip without one has no values."""
    found: dict[str, int] = {}
    for row, clip in enumerate(named):
        if clip in found:
            what = f"the id '{clip}' occurs twice"
            raise InputError(what, where=path, expected=f"one row for each '{key}'")
        found[clip] = row
    ids = [str(clip) for clip in source.ids or ()]
    if not any(clip in found for clip in ids):
        stems = {Path(clip).stem: row for clip, row in found.items()}
        if len(stems) == len(found) and any(clip in stems for clip in ids):
            found = stems
            source.notes.append(f"{path.name}: endings such as {Path(named[0]).suffix} are cut from '{key}'")
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


def read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """The first line and the others of a csv; separated by tabs if the first one has one, else by commas.

    Raises:
        InputError: The file is damaged, has no row, or lines do not fit the first one.
    """
    longest = csv.field_size_limit(_LONGEST_VALUE)
    try:
        with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            header, *rows = csv.reader(file, delimiter="\t" if "\t" in first else ",", strict=True)
    except UnicodeDecodeError:
        raise InputError("not a text file", where=path, expected="UTF-8 text") from None
    except (csv.Error, ValueError) as error:
        raise InputError(f"not a table ({error})", where=path) from None
    finally:
        csv.field_size_limit(longest)
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            expected = f"{len(header)}, as in the first line"
            raise InputError(f"{len(row)} values", where=f"{path}, line {number}", expected=expected)
    if not rows or not all(header) or len(set(header)) != len(header):
        expected = "a line of different names, and a row for each clip"
        raise InputError("not a table of clips", where=path, expected=expected)
    return header, rows
