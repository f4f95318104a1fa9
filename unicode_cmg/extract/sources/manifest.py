"""A table with a row for each clip: paths or texts of its modalities, and what else is known of it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from unicode_cmg.data.sources.clip_table import read_csv
from unicode_cmg.data.sources.source import IDS
from unicode_cmg.data.sources.tables import Table, class_names, parquet_table, saved_table
from unicode_cmg.errors import InputError
from unicode_cmg.extract.clips import READS, Broken, Clip, MediaSource, kind_of
from unicode_cmg.extract.decoding.file import Location, MediaError, Page
from unicode_cmg.extract.media import Kind
from unicode_cmg.extract.sources.pattern import Pattern
from unicode_cmg.files import parse_json, read_text

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


@dataclass(frozen=True)
class _Cell(Page):
    """A file inside a table."""

    table: Path
    row: int
    column: str
    name: str

    def read(self) -> bytes:
        value = (
            _table_at(self.table).rows(self.row, self.row + 1, [self.column]).column(self.column)[0].as_py()
        )
        found = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(found, bytes):
            raise MediaError("unreadable", "there are no bytes in this cell")
        return found


@dataclass(frozen=True)
class _Rows:
    """The rows of a table in memory; files in it stay on disk."""

    path: Path
    names: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    first_line: int | None = None
    embedded: frozenset[str] = field(default_factory=frozenset)

    def place(self, row: int) -> str:
        """What messages call a row."""
        if self.first_line is None:
            return f"{self.path}, row {row}"
        return f"{self.path}, line {row + self.first_line}"


def read_manifest(
    path: Path, modalities: Mapping[str, Wanted], root: Path | None, clip_id: Pattern | None
) -> MediaSource:
    """The clips of a csv, tsv, jsonl, json or Parquet file, or of a data set of the library `datasets`.

    A modality is the column of its name, or that with an ending such as `_path`; else the column of its
    kind; else, as sound, that of video; else a column `file_name`, `file` or `path` with files of its kind.
    Columns `start` and `end` are seconds. All columns that hold no media are kept.

    Args:
        path: The table.
        modalities: Modality -> what it is.
        root: The folder that paths are relative to and may not leave; by default that of the table.
        clip_id: The ids, as a pattern of columns; by default a column such as `id`, or names of files.

    Raises:
        InputError: The table is damaged, or has no column for any of the modalities.
    """
    table = _read(path)
    root = (path if path.is_dir() else path.parent) if root is None else root
    uses = {name: _columns_of(name, wanted, table) for name, wanted in modalities.items()}
    if not any(wanted.patterns or uses[name] for name, wanted in modalities.items()):
        expected = f"a column for one of {', '.join(modalities)}, such as '{next(iter(modalities))}'"
        raise InputError(f"the columns {', '.join(table.names)}", where=path, expected=expected)
    id_column = next((known for known in IDS for name in table.names if name.lower() == known), None)
    id_column = next((name for name in table.names if name.lower() == id_column), None)
    paths = {column for columns in uses.values() for column in columns}
    kept = tuple(name for name in table.names if name not in paths | table.embedded and name != id_column)
    clips: list[Clip] = []
    broken: list[Broken] = []
    seen: dict[str, int] = {}
    for row, values in enumerate(table.rows):
        media = {
            name: place
            for name, wanted in modalities.items()
            if (place := _place_of(values, wanted, uses[name], table, row, root)) is not None
        }
        start, end = (_second(values.get(name), name, table.place(row)) for name in ("start", "end"))
        if end is not None and end <= (start or 0.0):
            raise InputError(
                f"it ends at {end:g}", where=table.place(row), expected=f"more than {start or 0:g}"
            )
        clip = _id_of(values, clip_id, id_column, media, start, row)
        if not media:
            broken.append(Broken(clip, "", table.place(row), "no media", "none of its modalities is named"))
        elif clip in seen:
            what = f"the id occurs twice, first in {table.place(seen[clip])}"
            broken.append(Broken(clip, "", table.place(row), "duplicate id", what))
        elif len(clip.splitlines()) != 1 or not clip.strip():
            broken.append(
                Broken(ascii(clip)[1:-1], "", table.place(row), "name", "its id is not one line of text")
            )
        else:
            seen[clip] = row
            clips.append(Clip(clip, media, start or 0.0, end, {name: values.get(name) for name in kept}))
    if not clips:
        raise InputError("there is no clip in it", where=path)
    told = [f"{path}: {len(clips)} clips, ids from {_ids_from(clip_id, id_column)}"]
    told += [f"modality {name}: {_origin(wanted, uses[name])}" for name, wanted in modalities.items()]
    told += [f"columns {', '.join(kept)}"] if kept else []
    return MediaSource("a list of clips", path, root, clips, kept, tuple(broken), tuple(told))


def _columns_of(name: str, wanted: Wanted, table: _Rows) -> tuple[str, ...]:
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
    values: Mapping[str, Any], wanted: Wanted, columns: Sequence[str], table: _Rows, row: int, root: Path
) -> Location | None:
    if wanted.patterns:
        filled = [text for pattern in wanted.patterns if (text := pattern.fill(values, table.place(row)))]
        return _located(filled, wanted.kind, "", root) if filled else None
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


def _located(texts: Sequence[str], kind: Kind, column: str, root: Path) -> Location:
    """Sentences, or a path: of a text, what is in a column of paths, or a .txt file that exists."""
    if kind == "text":
        is_path = column.lower().endswith(_ENDINGS) or column.lower() in _FILES
        named = len(texts) == 1 and texts[0].lower().endswith(".txt") and "\n" not in texts[0]
        if not is_path and not (named and len(texts[0]) < 4096 and (root / texts[0]).exists()):
            return tuple(texts)
    return root / texts[0]


def _embedded(value: Mapping[str, Any], table: Path, row: int, column: str, root: Path) -> Location:
    if value["held"]:
        return _Cell(table, row, column, value["path"] or f"{table.name}, row {row}, column {column}")
    return root / str(value["path"])


def _id_of(
    values: Mapping[str, Any],
    pattern: Pattern | None,
    column: str | None,
    media: Mapping[str, Location],
    start: float | None,
    row: int,
) -> str:
    if pattern is not None:
        found = pattern.fill(values, "id")
    elif column is not None and values.get(column) not in (None, ""):
        found = str(values[column])
        if column.lower() in _FILES and kind_of(found) is not None:
            found = str(PurePosixPath(found).with_suffix(""))
    else:
        files = [place for place in media.values() if isinstance(place, Path)]
        found = f"{files[0].stem}" + (f"@{start:g}" if start is not None else "") if files else str(row)
    return unicodedata.normalize("NFC", found.encode("utf-8", "replace").decode())


def _second(value: Any, name: str, where: str) -> float | None:
    if value in (None, ""):
        return None
    try:
        second = float(value)
    except (TypeError, ValueError):
        second = -1.0
    if not 0 <= second < 1e9:
        raise InputError(f"'{name}' is {value!r}", where=where, expected="seconds from 0 on")
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


def _read(path: Path) -> _Rows:
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".parquet":
        return _from_table(path)
    if suffix in (".jsonl", ".ndjson"):
        lines = [(n, line) for n, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
        rows = [_object(parse_json(line, where=(at := f"{path}, line {n}")), at) for n, line in lines]
        return _Rows(path, list(dict.fromkeys(name for row in rows for name in row)), rows, 1)
    if suffix == ".json":
        found = parse_json(read_text(path), where=path)
        if isinstance(found, dict):
            found = next((found[key] for key in ("annotations", "data", "clips") if key in found), None)
        if not isinstance(found, list) or not found:
            raise InputError("no list of clips", where=path, expected="a list of objects, or 'annotations'")
        rows = [_object(value, f"{path}, entry {n}") for n, value in enumerate(found)]
        return _Rows(path, list(dict.fromkeys(name for row in rows for name in row)), rows)
    names, lines_of = read_csv(path)
    return _Rows(path, names, [dict(zip(names, line, strict=True)) for line in lines_of], 2)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"a {type(value).__name__}", where=where, expected="an object {...} for a clip")
    return {
        str(name): json.dumps(held, ensure_ascii=False) if isinstance(held, dict) else held
        for name, held in value.items()
    }


@lru_cache(maxsize=4)
def _table_at(path: Path) -> Table:
    saved = path.is_dir() and ((path / "dataset_dict.json").is_file() or (path / "state.json").is_file())
    return saved_table(path) if saved else parquet_table(path)


def _from_table(path: Path) -> _Rows:
    """The values of a Parquet file or a data set; of files in it, only their names."""
    table = _table_at(path)
    columns: dict[str, list[Any]] = {}
    embedded = set()
    for held in table.schema:
        kind = getattr(held.type, "storage_type", held.type)
        fields = {kind.field(n).name for n in range(kind.num_fields)} if pa.types.is_struct(kind) else set()
        if {"bytes", "path"} <= fields:
            embedded.add(held.name)
            columns[held.name] = _names_of_files(table, held.name)
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            embedded.add(held.name)
            columns[held.name] = [{"held": True, "path": None}] * table.length
        elif not pa.types.is_nested(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
            columns[held.name] = table.rows(0, table.length, [held.name]).column(held.name).to_pylist()
    for name, known in table.classes.items():
        columns[name] = list(class_names(columns[name], known))
    if table.split is not None and "split" not in columns:
        columns["split"] = list(table.split)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return _Rows(path, list(columns), rows, None, frozenset(embedded))


def _names_of_files(table: Table, column: str) -> list[dict[str, Any] | None]:
    """Path and presence of each file in a column, read a few at a time, without keeping their bytes."""
    found: list[dict[str, Any] | None] = []
    for start in range(0, table.length, 256):
        chunk = table.rows(start, min(start + 256, table.length), [column]).column(column)
        for value in chunk:
            entry = getattr(value, "value", value) if isinstance(value, pa.ExtensionScalar) else value
            if entry is None or not entry.is_valid:
                found.append(None)
                continue
            name = entry["path"].as_py()
            held = entry["bytes"].is_valid
            found.append({"held": held, "path": name} if held or name else None)
    return found
