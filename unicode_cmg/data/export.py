"""`unicode-cmg data export`: a feature store as Parquet files with a data-set card."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from numpy.typing import NDArray

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.files import atomic_directory, check_replaceable, write_json, write_text

MARKER = "unicode-cmg.json"
_GROUP_BYTES = 4 << 20
_FILE_BYTES = 500 << 20
_UNKNOWN = "none"  # the split of clips without one


def export_store(store: FeatureStore | str | Path, to: str | Path) -> dict[str, Any]:
    """Write a store as Parquet files, a row for each clip, in memory that does not grow with it.

    Features are columns of nested lists, valid steps only, null where a clip lacks the modality; words are
    columns `NAME_tokens`. Each split has files of its own if there is a column `split`.

    Args:
        store: The store, or its folder.
        to: The folder to write; an earlier export is replaced.

    Returns:
        What was written, as JSON values.

    Raises:
        InputError: The store is damaged, or the folder holds something else or cannot be written.
    """
    store = store if isinstance(store, FeatureStore) else FeatureStore.open(store)
    to = Path(to)
    check_replaceable(to, MARKER)
    schema = _schema(store)
    splits = _splits(store)
    with atomic_directory(to) as scratch:
        (scratch / "data").mkdir()
        files: dict[str, str] = {}
        for split, rows in splits.items():
            files |= dict.fromkeys(_write_split(store, rows, split, schema, scratch / "data"), split)
        counts = {split: len(rows) for split, rows in splits.items()}
        sizes = {
            split: sum((scratch / "data" / file).stat().st_size for file, of in files.items() if of == split)
            for split in splits
        }
        write_text(scratch / "README.md", _card(store, schema, counts, sizes))
        written = {
            "to": str(to),
            "clips": len(store),
            "splits": counts,
            "files": [f"data/{file}" for file in files],
            "features": store.fingerprint,
        }
        write_json(scratch / MARKER, {"format_version": 1, **written, "source": dict(store.source)})
    return written


def _splits(store: FeatureStore) -> dict[str, NDArray[np.int64]]:
    """Split -> its rows; names as `datasets` allows them."""
    if "split" not in store.columns:
        return {"train": np.arange(len(store))}
    names = np.array([re.sub(r"\W+", "_", value) or _UNKNOWN for value in store.columns["split"]])
    return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}


def _schema(store: FeatureStore) -> pa.Schema:
    types = {"float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}
    fields = [pa.field("id", pa.string())]
    for name, shape in store.modalities.items():
        kind = types[store.dtypes[name]]
        for _ in shape:
            kind = pa.list_(kind)
        fields.append(pa.field(name, kind))
        if name in store.tokenized:
            fields.append(pa.field(f"{name}_tokens", pa.list_(pa.string())))
    taken = {field.name for field in fields}
    names = (name if name not in taken else f"{name}_column" for name in store.columns)
    fields += [pa.field(name, pa.string()) for name in names]
    return pa.schema(fields)


def _write_split(
    store: FeatureStore, rows: NDArray[np.int64], split: str, schema: pa.Schema, folder: Path
) -> list[str]:
    """The files of a split, by the names that `datasets` gives them."""
    dtypes = store.dtypes
    bytes_a_clip = sum(
        int(np.prod(shape)) * np.dtype(dtypes[name]).itemsize for name, shape in store.modalities.items()
    )
    group = max(1, _GROUP_BYTES // max(bytes_a_clip, 1))
    a_file = max(group, _FILE_BYTES // max(bytes_a_clip, 1) // group * group)
    count = -(-len(rows) // a_file)
    names = [f"{split}-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
    words = {name: list(store.tokens(name)) for name in store.tokenized}
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    for number, name in enumerate(names):
        with pq.ParquetWriter(folder / name, schema, compression="zstd", use_dictionary=texts) as writer:
            for table in _tables(store, rows[number * a_file : (number + 1) * a_file], group, schema, words):
                writer.write_table(table)
    return names


def _tables(
    store: FeatureStore,
    rows: NDArray[np.int64],
    group: int,
    schema: pa.Schema,
    words: dict[str, list[tuple[str | None, ...]]],
) -> Iterator[pa.Table]:
    for start in range(0, len(rows), group):
        chosen = rows[start : start + group]
        columns: list[pa.Array] = [pa.array([store.ids[row] for row in chosen], pa.string())]
        for name in store.modalities:
            kind = schema.field(name).type
            dtype = getattr(torch, store.dtypes[name])
            batch = store.batch(chosen, modalities=[name], dtype=dtype)
            columns.append(_nested(batch.features[name].numpy(), batch.masks[name].numpy(), kind))
            if name in words:
                spoken = [[word for word in words[name][row] if word is not None] or None for row in chosen]
                columns.append(pa.array(spoken, pa.list_(pa.string())))
        for values in store.columns.values():
            texts = [values[row] or None for row in chosen]
            columns += [pa.array(texts, pa.string())]
        yield pa.Table.from_arrays(columns, schema=schema)


def _nested(values: NDArray[Any], mask: NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """Nested lists of the valid steps of each clip, null for a clip without any."""
    steps = values[mask]
    inner: pa.Array = pa.array(steps.reshape(-1))
    for size in reversed(steps.shape[1:]):
        offsets = np.arange(0, len(inner) + 1, size, dtype=np.int32)
        inner = pa.ListArray.from_arrays(pa.array(offsets), inner)
    lengths = mask.sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    missing = pa.array(np.append(lengths == 0, False))
    offsets_or_null = pa.array(ends, mask=missing.to_numpy(zero_copy_only=False))
    return pa.ListArray.from_arrays(offsets_or_null, inner, type=kind)


def _card(store: FeatureStore, schema: pa.Schema, counts: dict[str, int], sizes: dict[str, int]) -> str:
    """README.md: what `datasets` reads of it, and a description for people."""
    head = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in counts],
            }
        ],
        "dataset_info": {
            "features": [{"name": field.name, **_feature(field.type)} for field in schema],
            "splits": [
                {"name": split, "num_bytes": sizes[split], "num_examples": count}
                for split, count in counts.items()
            ],
            "download_size": sum(sizes.values()),
            "dataset_size": sum(sizes.values()),
        },
        "tags": ["unicode-cmg", "features"],
    }
    dtypes = store.dtypes
    lines = [
        f"- `{name}`: `[steps, {', '.join(map(str, shape[1:]))}]` {dtypes[name]}, up to {shape[0]} steps;"
        f" in {int(store.present[name].sum())} of {len(store)} clips"
        for name, shape in store.modalities.items()
    ]
    origin = [f"- {key}: {value}" for key, value in store.source.items()] or ["- not noted"]
    text = ["# Features of clips", "", *_section("Modalities", lines), *_section("Origin", origin)]
    text += [
        "Written by `unicode-cmg data export`; `unicode-cmg data import` reads it.",
        "",
    ]
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n" + "\n".join(text)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """The type of a column as `datasets` writes it: `{"list": {"list": "float16"}}`."""
    if not pa.types.is_list(kind):
        names = {"halffloat": "float16", "float": "float32", "double": "float64"}
        return {"dtype": names.get(str(kind), str(kind))}
    inner = _feature(kind.value_type)
    return {"list": inner["dtype"] if set(inner) == {"dtype"} else inner}
