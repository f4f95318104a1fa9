"""A table with a row for each clip: paths or texts of its modalities, and what else is known of it."""

from __future__ import annotations

import os
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from unicode_cmg.data.sources.source import IDS
from unicode_cmg.errors import InputError
from unicode_cmg.extract.clips import READS, Broken, Clip, MediaSource, is_id, kind_of
from unicode_cmg.extract.decoding.file import Location
from unicode_cmg.extract.media import Kind
from unicode_cmg.extract.sources.listing import Listing
from unicode_cmg.extract.sources.pattern import Pattern
from unicode_cmg.extract.sources.rows import Cell, Rows, bad_row, read_rows

_ENDINGS = ("_path", "_file", "_file_name", "_filename", "_filepath")
_FILES = ("file_name", "filename", "file", "path")
"""Names of a column whose files are of the kind that their suffix tells."""


@dataclass(frozen=True)
class Wanted:
    """A modality that is looked for.

    Attributes:
        kind: Its kind.
        patterns: Its file, or its sentences, as patterns of columns; empty: by the names of the columns.
    """

    kind: Kind
    patterns: tuple[Pattern, ...] = ()


def read_manifest(
    path: Path,
    modalities: Mapping[str, Wanted],
    root: Path | None,
    clip_id: Pattern | None,
    listing: Listing | None = None,
) -> MediaSource:
    """The clips of a csv, tsv, jsonl, json or Parquet file, or of a data set of the library `datasets`.

    A modality is the column of its name, or that with an ending such as `_path`; else the column of its
    kind; else, as sound, that of video; else a column `file_name`, `file` or `path` with files of its kind.
    Columns `start` and `end` are seconds. All columns that hold no media are kept. A row that is wrong is
    listed, and the others are used.

    Args:
        path: The table.
        modalities: Modality -> what it is.
        root: The folder that paths are relative to and may not leave; by default that of the table.
        clip_id: The ids, as a pattern of columns; by default a column such as `id`, or names of files.
        listing: Which lists a folder has.

    Raises:
        InputError: The table is damaged, has no column for any of the modalities, or no row that can be used.
    """
    table = read_rows(path) if listing is None else listing.read(path)
    root = (path if path.is_dir() else path.parent) if root is None else root
    if not table.rows:
        raise _no_clip(path, table.broken)
    uses = {name: _columns_of(name, wanted, table) for name, wanted in modalities.items()}
    if not any(wanted.patterns or uses[name] for name, wanted in modalities.items()):
        expected = f"a column for one of {', '.join(modalities)}, such as '{next(iter(modalities))}'"
        raise InputError(f"the columns {', '.join(table.names)}", where=path, expected=expected)
    for pattern in [*(p for wanted in modalities.values() for p in wanted.patterns), clip_id]:
        if pattern is not None:
            pattern.check(table.names, path)
    id_column = next((known for known in IDS for name in table.names if name.lower() == known), None)
    id_column = next((name for name in table.names if name.lower() == id_column), None)
    paths = {column for columns in uses.values() for column in columns}
    used = {"id"} if clip_id is not None else {id_column}
    kept = tuple(name for name in table.names if name not in paths | table.embedded | used)
    if listing is not None and listing.captions is not None:
        kept = (*kept, "group")
    clips: list[Clip] = []
    broken = list(table.broken)
    seen: dict[str, int] = {}
    captions: dict[str, int] = {}
    folders = _Folders()
    for row, values in enumerate(table.rows):
        place = table.place(row)
        try:
            media = {
                name: found
                for name, wanted in modalities.items()
                if (found := _place_of(values, wanted, uses[name], table, row, root, folders)) is not None
            }
            start, end = (_second(values.get(name), name) for name in ("start", "end"))
            if end is not None and end <= (start or 0.0):
                raise InputError(f"it ends at {end:g} s and starts at {start or 0:g} s")
            item = _id_of(values, clip_id, id_column, media, start, row)
        except InputError as error:
            named = str(values.get(id_column) or "") if id_column else ""
            broken.append(bad_row(place, error, named if is_id(named) else ""))
            continue
        clip = item
        if listing is not None and listing.captions is not None:
            number = captions[item] = captions.get(item, -1) + 1
            values = {**values, "group": item}
            if number:
                clip = f"{item}#{number}"
                media = {name: found for name, found in media.items() if isinstance(found, tuple)}
        if not media:
            broken.append(Broken(clip, "", place, "no media", "none of its modalities is named"))
        elif clip in seen:
            what = f"the id occurs twice, first in {table.place(seen[clip])}"
            broken.append(Broken(clip, "", place, "duplicate id", what))
        elif not is_id(clip):
            broken.append(Broken(ascii(clip)[1:-1], "", place, "name", "its id is not one line of text"))
        else:
            seen[clip] = row
            clips.append(Clip(clip, media, start or 0.0, end, {name: values.get(name) for name in kept}))
    if not clips:
        raise _no_clip(path, broken)
    told = [f"{path}: {len(clips)} clips, ids from {_ids_from(clip_id, id_column)}"]
    told += [f"modality {name}: {_origin(wanted, uses[name])}" for name, wanted in modalities.items()]
    told += [f"columns {', '.join(kept)}"] if kept else []
    return MediaSource("a list of clips", path, root, clips, kept, tuple(broken), tuple(told))


def _no_clip(path: Path, broken: Sequence[Broken]) -> InputError:
    first = f"; the first of {len(broken)} reasons: {broken[0].text()}" if broken else ""
    return InputError(f"there is no clip in it{first}", where=path, expected="a row for each clip")


def _columns_of(name: str, wanted: Wanted, table: Rows) -> tuple[str, ...]:
    """The columns in which a modality is looked for, the first one with a value."""
    if wanted.patterns:
        return ()
    lower = {column.lower(): column for column in table.names}
    for bases in ((name.lower(),), READS[wanted.kind]):
        found = [lower[base + end] for base in bases for end in ("", *_ENDINGS) if base + end in lower]
        if found:
            return tuple(found)
    shared = [lower[known] for known in _FILES if known in lower]
    return tuple(c for c in shared if any(_fits(values.get(c), wanted.kind) for values in table.rows))


def _fits(value: Any, kind: Kind) -> bool:
    return isinstance(value, str) and kind_of(value) in READS[kind]


def _place_of(
    values: Mapping[str, Any],
    wanted: Wanted,
    columns: Sequence[str],
    table: Rows,
    row: int,
    root: Path,
    folders: _Folders,
) -> Location | None:
    if wanted.patterns:
        filled = [text for pattern in wanted.patterns if (text := pattern.fill(values))]
        place = _located(filled, wanted.kind, "", root) if filled else None
        return folders.find(place) if isinstance(place, Path) and "*" in place.name else place
    for column in columns:
        value = values.get(column)
        if column in table.embedded:
            if value is not None:
                return _embedded(value, table.path, row, column, root)
        elif value not in (None, "", []):
            listed = value if isinstance(value, (list, tuple)) else [value]
            texts = [str(one) for one in listed if one is not None]
            shared = column.lower() in _FILES and wanted.kind != "text"
            if not texts or (shared and not _fits(texts[0], wanted.kind)):
                continue
            return _located(texts, wanted.kind, column, root)
    return None


class _Folders:
    """Names of files in folders, in which files are found whose names are known in part."""

    def __init__(self) -> None:
        self._names: dict[Path, list[str]] = {}

    def find(self, path: Path) -> Path:
        """The first file that fits, such as of `videos/a_*.mp4`; the path itself if there is none."""
        if path.parent not in self._names:
            found = path.parent.iterdir() if path.parent.is_dir() else ()
            self._names[path.parent] = sorted(file.name for file in found)
        names, (start, *_) = self._names[path.parent], path.name.split("*")
        for at in range(bisect_left(names, start), len(names)):
            if not names[at].startswith(start):
                break
            if fnmatchcase(names[at], path.name.replace("[", "[[]")):
                return path.with_name(names[at])
        return path


def _located(texts: Sequence[str], kind: Kind, column: str, root: Path) -> Location:
    """Sentences, or a path: of a text, what is in a column of paths, or a .txt file that exists.

    Raises:
        InputError: There are several paths.
    """
    if kind == "text":
        is_path = column.lower().endswith(_ENDINGS) or column.lower() in _FILES
        named = len(texts) == 1 and texts[0].lower().endswith(".txt") and "\n" not in texts[0]
        if not is_path and not (named and os.path.exists(_path(texts[0], root))):  # noqa: PTH110 - of any length
            return tuple(texts)
    if len(texts) > 1:
        raise InputError(f"{len(texts)} files for one {kind}")
    return _path(texts[0], root)


def _path(text: str, root: Path) -> Path:
    """A path of a list, which may be from Windows, or have spaces around it."""
    if not os.path.exists(root / text):  # noqa: PTH110 - of any length
        text = text.strip().replace("\\", "/")
    return root / text


def _embedded(value: Mapping[str, Any], table: Path, row: int, column: str, root: Path) -> Location:
    if value["held"]:
        return Cell(table, row, column, value["path"] or f"{table.name}, row {row}, column {column}")
    return _path(str(value["path"]), root)


def _id_of(
    values: Mapping[str, Any],
    pattern: Pattern | None,
    column: str | None,
    media: Mapping[str, Location],
    start: float | None,
    row: int,
) -> str:
    if pattern is not None:
        found = pattern.fill(values)
    elif column is not None and values.get(column) not in (None, ""):
        found = str(values[column])
        if column.lower() in _FILES and kind_of(found) is not None:
            found = str(PurePosixPath(found).with_suffix(""))
    else:
        files = [place for place in media.values() if isinstance(place, Path)]
        found = f"{files[0].stem}" + (f"@{start:g}" if start is not None else "") if files else str(row)
    return unicodedata.normalize("NFC", found.encode("utf-8", "replace").decode())


def _second(value: Any, name: str) -> float | None:
    if value in (None, ""):
        return None
    try:
        second = float(value)
    except (TypeError, ValueError):
        second = -1.0
    if not 0 <= second < 1e9:
        raise InputError(f"'{name}' is {value!r}", expected="seconds from 0 on, such as 62.5")
    return second


def _ids_from(pattern: Pattern | None, column: str | None) -> str:
    if pattern is not None:
        return f"'{pattern.text}'"
    return "the names of the files" if column is None else f"column '{column}'"


def _origin(wanted: Wanted, columns: Sequence[str]) -> str:
    if wanted.patterns:
        return ", ".join(f"'{pattern.text}'" for pattern in wanted.patterns)
    return (
        f"column {' or '.join(repr(c) for c in columns)}" if columns else "no column of it, all clips lack it"
    )
