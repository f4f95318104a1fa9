"""Tables with a row for each clip: Parquet files, and data sets of the library `datasets`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unicode_cmg.data.sources.joining import joined, renamed
from unicode_cmg.data.sources.source import (
    IDS,
    LABELS,
    MASKS,
    OTHERS,
    LazyClips,
    Source,
    Wanted,
    take_modalities,
)
from unicode_cmg.errors import InputError, unknown

Rows = Callable[[int, int, list[str]], pa.Table]
"""Rows `start` to `stop` of some columns."""


class Table(NamedTuple):
    """A table on disk, of which rows are read when they are asked for.

    Attributes:
        schema: Names and types of its columns.
        length: Number of its rows.
        rows: Reads some of them.
        split: The split of each row, as file names or the data set say; None if they do not.
        classes: Column of class numbers -> names of the classes.
    """

    schema: pa.Schema
    length: int
    rows: Rows
    split: list[str] | None = None
    classes: Mapping[str, Sequence[str]] = MappingProxyType({})


def read_parquet(path: Path, wanted: Wanted) -> Source:
    """A Parquet file, or a folder of them, in which features are columns of lists.

    Raises:
        InputError: A file is damaged, files have different columns, or there are no features.
    """
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if len(files) > 1 and not wanted.modalities and _of_same_clips(files):
        source = joined([_of_one_modality(file, wanted) for file in files], path)
        source.kind = "Parquet files with a modality each"
        return source
    table = parquet_table(path)
    source = Source("Parquet", path, table.length)
    _from_table(source, table.schema, table.rows, wanted)
    _add_split(source, table, "the names of the files")
    return source


def _of_same_clips(files: Sequence[Path]) -> bool:
    """Whether files share ids, and so do not hold clips of their own each."""
    seen: set[Any] = set()
    for file in files:
        names = _open(file).schema_arrow.names
        key = next((name for known in IDS for name in names if name.lower() == known), None)
        ids = set() if key is None else set(_open(file).read([key]).column(key).to_pylist())
        if seen & ids:
            return True
        seen |= ids
    return False


def _of_one_modality(file: Path, wanted: Wanted) -> Source:
    """The clips of one of several files; a single modality has the name of its file."""
    source = read_parquet(file, wanted)
    return renamed(source, file.stem) if len(source.features) == 1 else source


def read_datasets(path: Path, wanted: Wanted) -> Source:
    """A data set that `datasets` has saved with `save_to_disk`.

    Raises:
        InputError: The library is not installed, or the data set is damaged.
    """
    table = saved_table(path)
    source = Source("a data set of the library datasets", path, table.length)
    _from_table(source, table.schema, table.rows, wanted)
    for name, known in table.classes.items():
        if name in source.columns:
            source.columns[name] = class_names(source.columns[name], known)
    _add_split(source, table, "the splits of the data set")
    return source


def class_names(numbers: Sequence[int | None], known: Sequence[str]) -> list[str | None]:
    """The names of classes; None for a clip without one."""
    return [None if number is None or number < 0 else known[number] for number in numbers]


def _add_split(source: Source, table: Table, origin: str) -> None:
    if table.split is not None and "split" not in source.columns:
        source.columns["split"] = table.split
        source.notes.append(f"column 'split' is from {origin}")


def parquet_table(path: Path) -> Table:
    """A Parquet file, or all Parquet files of a folder.

    Raises:
        InputError: A file is damaged, files have different columns, or there is no row.
    """
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    opened = [_open(file) for file in files]
    schema = opened[0].schema_arrow
    for file, parquet in zip(files, opened, strict=True):
        if parquet.schema_arrow.names != schema.names:
            expected = f"the columns of {files[0].name}: {', '.join(schema.names)}"
            listed = ", ".join(parquet.schema_arrow.names)
            raise InputError(f"the columns {listed}", where=file, expected=expected)
    counts = [parquet.metadata.num_rows for parquet in opened]
    if not sum(counts):
        raise InputError("there is no row in it", where=path)
    names = [match[1] for file in files if (match := re.match(r"(\w+?)-\d+", file.stem))]
    split = np.repeat(names, counts).tolist() if len(names) == len(files) and len(set(names)) > 1 else None
    return Table(schema, sum(counts), _ParquetRows(files, opened), split)


def saved_table(path: Path) -> Table:
    """The rows of a data set that `datasets` has saved with `save_to_disk`.

    Raises:
        InputError: The library is not installed, the data set is damaged, or it has no row.
    """
    try:
        import datasets
    except ImportError:
        raise InputError(
            "a data set of the library 'datasets', which is not installed",
            where=path,
            fix="pip install 'unicode-cmg[hub]'",
        ) from None
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # the library and pyarrow fail in many ways
        raise InputError(f"not a readable data set ({error})", where=path) from None
    parts = dict(loaded) if isinstance(loaded, dict) else {"": loaded}
    parts = {name: part for name, part in parts.items() if len(part)}
    if not parts:
        raise InputError("there is no row in this data set", where=path)
    whole = datasets.concatenate_datasets(list(parts.values())).with_format("arrow")
    return Table(
        whole[:1].schema,
        len(whole),
        lambda start, stop, names: whole.select_columns(names)[start:stop],
        [name for name, part in parts.items() for _ in range(len(part))] if len(parts) > 1 else None,
        {n: f.names for n, f in whole.features.items() if isinstance(f, datasets.ClassLabel)},
    )


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except FileNotFoundError:
        raise InputError("no such file", where=file, fix="check the path") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a readable Parquet file ({str(error).splitlines()[0]})", where=file) from None


class _ParquetRows:
    """Rows of several files; the row groups that were read last stay in memory."""

    def __init__(self, files: Sequence[Path], opened: Sequence[pq.ParquetFile]) -> None:
        self._files, self._opened = files, opened
        self._groups: list[tuple[int, int, int, int]] = []  # file, group, first row, last row
        row = 0
        for number, parquet in enumerate(opened):
            for group in range(parquet.num_row_groups):
                count = parquet.metadata.row_group(group).num_rows
                self._groups.append((number, group, row, row + count))
                row += count
        self._read: dict[tuple[int, tuple[str, ...]], pa.Table] = {}

    def __call__(self, start: int, stop: int, names: list[str]) -> pa.Table:
        pieces = []
        for at, (number, group, first, last) in enumerate(self._groups):
            if first < stop and last > start:
                key = (at, tuple(names))
                if key not in self._read:
                    self._read = {k: v for k, v in self._read.items() if k[1] != key[1]}
                    try:
                        self._read[key] = self._opened[number].read_row_group(group, columns=names)
                    except (pa.ArrowException, OSError) as error:
                        reason = str(error).splitlines()[0]
                        raise InputError(f"it cannot be read ({reason})", where=self._files[number]) from None
                count = min(stop, last) - max(start, first)
                pieces.append(self._read[key].slice(max(start - first, 0), count))
        return pa.concat_tables(pieces)


def _from_table(source: Source, schema: pa.Schema, rows: Rows, wanted: Wanted) -> None:
    """Sort columns into features, words, times, ids and others."""
    types = {field.name: field.type for field in schema}
    for name in (*wanted.modalities.values(), *([wanted.ids] if wanted.ids else [])):
        if name not in types:
            raise unknown("column", name, types, where=source.path)
    found = {
        name: _ListColumn(source, name, rows)
        for name, kind in types.items()
        if name in wanted.modalities.values()
        or (_is_floats(kind) and not any(other.search(name) for other in (LABELS, MASKS, OTHERS)))
    }
    take_modalities(source, found, wanted)
    name_of = {key: name for name, key in wanted.modalities.items()} or {key: key for key in found}
    ids = wanted.ids or next((known for known in IDS for name in types if name.lower() == known), None)
    for name, kind in types.items():
        if name in found:
            continue
        match = OTHERS.match(name)
        if name == ids:
            source.ids, source.ids_from = _values(source, name, rows), f"column '{name}'"
        elif match and match["a"] in name_of:
            values = _values(source, name, rows)
            if match["what"] == "times":
                source.times[name_of[match["a"]]] = values
            else:
                source.tokens[name_of[match["a"]]] = [words or [] for words in values]
        elif _is_value(kind):
            source.columns[name] = _values(source, name, rows)
        else:
            source.notes.append(f"column '{name}' of {kind} is not imported")


def _values(source: Source, name: str, rows: Rows) -> list[Any]:
    listed: list[Any] = rows(0, source.clips, [name]).column(name).to_pylist()
    return listed


def _inner(kind: pa.DataType) -> tuple[pa.DataType, int]:
    """The type of the values in nested lists, and how deep they are."""
    depth = 0
    kind = getattr(kind, "storage_type", kind)
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    return kind, depth


def _is_floats(kind: pa.DataType) -> bool:
    inner, depth = _inner(kind)
    return depth > 0 and pa.types.is_floating(inner)


def _is_value(kind: pa.DataType) -> bool:
    inner, depth = _inner(kind)
    return depth <= 1 and not pa.types.is_nested(inner) and not pa.types.is_binary(inner)


class _ListColumn(LazyClips):
    """Features in a column of nested lists, a null for a clip that has none."""

    def __init__(self, source: Source, name: str, rows: Rows) -> None:
        super().__init__(source.clips)
        self._name, self._rows, self._where = name, rows, f"{source.path}: column '{name}'"

    def read(self, rows: range) -> list[Any]:
        if not rows:
            return []
        column = self._rows(rows.start, rows.stop, [self._name]).column(self._name)
        return [self._array(value) for chunk in column.chunks for value in _storage(chunk)]

    def _array(self, value: Any) -> NDArray[Any] | None:
        """The nested list as an array, without making Python objects of its numbers."""
        shape: list[int] = []
        if not value.is_valid:
            return None
        values = value.values
        shape.append(len(values))
        while not pa.types.is_floating(values.type):
            if pa.types.is_fixed_size_list(values.type):
                size = values.type.list_size
            elif pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
                lengths = np.diff(values.offsets.to_numpy())
                if len(set(lengths.tolist())) > 1 or values.null_count:
                    raise InputError("lists of different lengths in one clip", where=self._where)
                size = int(lengths[0]) if len(lengths) else 0
            else:
                raise InputError(f"values of {values.type}", where=self._where, expected="lists of floats")
            shape.append(size)
            values = values.flatten()
        if values.null_count:
            raise InputError("null among the features of a clip", where=self._where)
        return None if 0 in shape else values.to_numpy(zero_copy_only=False).reshape(shape)


def _storage(chunk: pa.Array) -> pa.Array:
    return chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
