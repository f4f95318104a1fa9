"""A table of codes back as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64
from pydantic import ConfigDict

from unicode_cmg.config import Config
from unicode_cmg.encoding.table import FORMAT_VERSION, METADATA_KEY
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import check_regular, parse_json

NO_CODE = -1
_MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class CodeTable:
    """A table of codes in memory, R rows: one for each clip, modality, valid step and code layer.

    Attributes:
        ids: The clips, in the order of the feature store.
        modalities: Those that were encoded.
        code_layers: Code layer -> number of its codes.
        clip: `[R]` positions in `ids`.
        modality: `[R]` positions in `modalities`.
        step: `[R]` steps of the clip, from 0.
        code_layer: `[R]` positions in `code_layers`.
        index: `[R]` the code, in `[0, number of codes)`.
        vector: `[R, D]` the code's vector, if the table has them.
        method: Name of the method that made the codes.
        checkpoint: SHA-256 of its parameters and buffers.
        features: Fingerprint of the feature store.
        level: Which level of the model; None for its default.
        library_version: The unicode-cmg that wrote the table.
    """

    ids: tuple[str, ...]
    modalities: tuple[str, ...]
    code_layers: Mapping[str, int]
    clip: Int64[np.ndarray, " rows"]
    modality: Int64[np.ndarray, " rows"]
    step: Int64[np.ndarray, " rows"]
    code_layer: Int64[np.ndarray, " rows"]
    index: Int64[np.ndarray, " rows"]
    vector: Float32[np.ndarray, "rows dim"] | None
    method: str
    checkpoint: str
    features: str
    level: str | None
    library_version: str

    def indices(self, modality: str, code_layer: str | None = None) -> Int64[np.ndarray, "clips time"]:
        """The codes of one modality as a grid, -1 where a step is not valid.

        Args:
            modality: One of `modalities`.
            code_layer: One of `code_layers`; the first by default.

        Raises:
            InputError: A name is unknown.
        """
        code_layer = next(iter(self.code_layers)) if code_layer is None else code_layer
        if modality not in self.modalities:
            raise unknown("modality", modality, self.modalities, where="table of codes")
        if code_layer not in self.code_layers:
            raise unknown("code layer", code_layer, self.code_layers, where="table of codes")
        mine = self.modality == self.modalities.index(modality)
        grid = np.full((len(self.ids), int(self.step[mine].max(initial=-1)) + 1), NO_CODE, dtype=np.int64)
        mine &= self.code_layer == list(self.code_layers).index(code_layer)
        grid[self.clip[mine], self.step[mine]] = self.index[mine]
        return grid


class TableNotes(Config):
    """What `encode_store` notes in the metadata of a table."""

    model_config = ConfigDict(extra="allow")

    modalities: tuple[str, ...]
    code_layers: dict[str, int]
    method: str
    checkpoint: str
    features: str
    level: str | None
    library_version: str


def read_codes(path: str | Path) -> CodeTable:
    """Read a table that `encode_store` wrote, all of it; larger ones are better read with pyarrow.

    Raises:
        InputError: The file is missing or damaged, or was not written by `encode_store` or by a newer one.
    """
    path = Path(path)
    try:
        check_regular(path)
        table = pq.read_table(path)
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the path") from None
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        reason = (str(error) or "too large").splitlines()[0]
        raise InputError(f"not a readable Parquet file ({reason})", where=path) from None
    notes = _notes(table, path)
    try:
        return _code_table(table, notes)
    except (pa.ArrowException, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"its columns are not those of a table of codes ({str(error).splitlines()[0]})"
        raise InputError(what, where=path, fix="write it again with 'unicode-cmg encode'") from None


def _code_table(table: pa.Table, notes: TableNotes) -> CodeTable:
    modalities, layers = notes.modalities, notes.code_layers
    clips = table.column("clip").combine_chunks().dictionary_encode()
    vector = None
    if "vector" in table.column_names:
        column = table.column("vector").combine_chunks()
        vector = column.flatten().to_numpy().reshape(len(table), column.type.list_size)
    step = _integers(table.column("step"))
    if step.size and not 0 <= step.min() <= step.max() < _MOST_STEPS:
        raise ValueError(f"steps from {step.min()} to {step.max()}")
    return CodeTable(
        ids=tuple(clips.dictionary.to_pylist()),
        modalities=modalities,
        code_layers=layers,
        clip=_integers(clips.indices),
        modality=_positions(table.column("modality"), modalities),
        step=step,
        code_layer=_positions(table.column("code_layer"), tuple(layers)),
        index=_integers(table.column("index")),
        vector=vector,
        method=notes.method,
        checkpoint=notes.checkpoint,
        features=notes.features,
        level=notes.level,
        library_version=notes.library_version,
    )


def _notes(table: pa.Table, path: Path) -> TableNotes:
    """What the writer noted in the file."""
    where = f"{path}: metadata '{METADATA_KEY}'"
    notes = parse_json((table.schema.metadata or {}).get(METADATA_KEY.encode(), b"{}"), where=where)
    found = notes.get("format_version") if isinstance(notes, dict) else None
    if found != FORMAT_VERSION:
        raise InputError(
            "a Parquet file, but not a table of codes" if found is None else f"format version {found!r}",
            where=path,
            expected=f"what 'unicode-cmg encode' writes, format version {FORMAT_VERSION}",
        )
    return TableNotes.parse(notes, where=where)


def _integers(values: Any) -> Int64[np.ndarray, " rows"]:
    if values.null_count:
        raise ValueError("a value is missing or unknown")
    return np.asarray(values.to_numpy(), dtype=np.int64)


def _positions(column: Any, names: tuple[str, ...]) -> Int64[np.ndarray, " rows"]:
    texts = column.cast(pa.string())
    return _integers(pc.index_in(texts, value_set=pa.array(names, pa.string())))
