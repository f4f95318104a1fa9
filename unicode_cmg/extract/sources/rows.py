"""Rows of tables: csv, jsonl, json, Parquet, and data sets of the library `datasets`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from unicode_cmg.data.sources.clip_table import read_csv
from unicode_cmg.data.sources.tables import Table, class_names, parquet_table, saved_table
from unicode_cmg.errors import InputError
from unicode_cmg.extract.clips import Broken
from unicode_cmg.extract.decoding.file import Page
from unicode_cmg.extract.faults import MediaError
from unicode_cmg.files import parse_json, read_text


@dataclass(frozen=True)
class Cell(Page):
    """A file inside a table."""

    table: Path
    row: int
    column: str
    name: str

    def read(self) -> bytes:
        value = (
            table_at(self.table).rows(self.row, self.row + 1, [self.column]).column(self.column)[0].as_py()
        )
        found = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(found, bytes):
            raise MediaError("unreadable", "there are no bytes in this cell")
        return found


@dataclass(frozen=True)
class Rows:
    """The rows of a table in memory; files in it stay on disk.

    Attributes:
        path: The table.
        names: Its columns.
        rows: Column -> value.
        place: What messages call a row of this number.
        embedded: The columns that hold files.
        broken: What cannot be read as a row.
    """

    path: Path
    names: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    place: Callable[[int], str]
    embedded: frozenset[str] = field(default_factory=frozenset)
    broken: Sequence[Broken] = ()


def read_rows(path: Path) -> Rows:
    """The rows of a table, by its suffix.

    Raises:
        InputError: It is damaged.
    """
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".parquet":
        return _from_table(path)
    if suffix in (".jsonl", ".ndjson"):
        lines = read_text(path).removeprefix("\ufeff").split("\n")  # others end lines inside of texts
        numbered = {f"line {n}": line for n, line in enumerate(lines, 1) if line.strip()}
        return _of_objects(path, numbered, lambda line: parse_json(line, where=path))
    if suffix == ".json":
        found = parse_json(read_text(path).removeprefix("\ufeff"), where=path)
        if isinstance(found, dict):
            found = next((found[key] for key in ("annotations", "data", "clips") if key in found), None)
        if not isinstance(found, list) or not found:
            raise InputError("no list of clips", where=path, expected="a list of objects, or 'annotations'")
        return _of_objects(path, {f"entry {n}": value for n, value in enumerate(found)}, lambda value: value)
    unfit: dict[int, str] = {}
    names, values = read_csv(path, unfit)
    rows, numbers = [dict(zip(names, row, strict=True)) for row in values.values()], list(values)
    broken = [bad_row(f"{path}, line {line}", why) for line, why in unfit.items()]
    return Rows(path, names, rows, lambda row: f"{path}, line {numbers[row]}", broken=broken)


def bad_row(place: str, why: str | InputError, clip: str = "") -> Broken:
    """The entry of a row that cannot be used."""
    if isinstance(why, InputError):
        why = f"{why.what}; expected {why.expected}" if why.expected else why.what
    return Broken(clip, "", place, "bad row", why)


def _of_objects(path: Path, values: Mapping[str, Any], read: Callable[[Any], Any]) -> Rows:
    """Place -> what is read as an object of JSON."""
    rows: dict[str, dict[str, Any]] = {}
    broken = []
    for place, value in values.items():
        try:
            found = read(value)
            if not isinstance(found, dict):
                raise InputError(f"a {type(found).__name__}", expected="an object {...} for a clip")
            rows[place] = {
                str(name): json.dumps(held, ensure_ascii=False) if isinstance(held, dict) else held
                for name, held in found.items()
            }
        except InputError as error:
            broken.append(bad_row(f"{path}, {place}", error))
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    places = list(rows)
    return Rows(path, names, list(rows.values()), lambda row: f"{path}, {places[row]}", broken=broken)


@lru_cache(maxsize=4)
def table_at(path: Path) -> Table:
    """The table of a Parquet file, a folder of them, or a saved data set; those read last stay open."""
    saved = path.is_dir() and ((path / "dataset_dict.json").is_file() or (path / "state.json").is_file())
    return saved_table(path) if saved else parquet_table(path)


def _from_table(path: Path) -> Rows:
    """The values of a Parquet file or a data set; of files in it, only their names."""
    table = table_at(path)
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
    return Rows(path, list(columns), rows, lambda row: f"{path}, row {row}", frozenset(embedded))


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
