"""Codes of a feature store as one Parquet table, written as a stream."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float32
from torch import Tensor

from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.encoding.stream import (
    BATCH_CLIPS,
    CodeBatch,
    common_modalities,
    iterate_codes,
    layer_codes,
)
from unicode_cmg.errors import InputError, one_of
from unicode_cmg.files import atomic_file
from unicode_cmg.model import Model
from unicode_cmg.on_ray import ray_map
from unicode_cmg.progress import Progress
from unicode_cmg.version import VERSION

FORMAT_VERSION = 1
METADATA_KEY = "unicode_cmg"
_BATCHES_OF_RAY = 8  # that a process encodes at a time
_GROUP_ROWS, _GROUP_NUMBERS = 1 << 17, 1 << 22  # of a row group: 16 MB of vectors


@dataclass(frozen=True)
class EncodedStore:
    """What was written.

    Attributes:
        path: The table.
        rows: Its rows, one for each clip, modality, valid step and code layer.
        clips: Clips of the store.
        modalities: Those that were encoded.
        code_layers: Code layer -> number of its codes.
        merged: Code layer -> number of its codes before they were merged; empty if none were.
        vectors: Whether the table has the column `vector`.
    """

    path: Path
    rows: int
    clips: int
    modalities: tuple[str, ...]
    code_layers: Mapping[str, int]
    merged: Mapping[str, int]
    vectors: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "path": str(self.path)}

    def summary(self) -> str:
        """One line for people."""
        layers = ", ".join(
            f"{name} of {size} codes" + (f" (merged from {self.merged[name]})" if name in self.merged else "")
            for name, size in self.code_layers.items()
        )
        return f"{self.path}: {self.rows} rows, {self.clips} clips, {', '.join(self.modalities)}; {layers}"


def encode_store(
    model: Model,
    store: FeatureStore,
    to: str | Path,
    *,
    vectors: bool = False,
    modalities: Sequence[str] | None = None,
    level: str | None = None,
    batch_size: int = BATCH_CLIPS,
    shard: tuple[int, int] = (0, 1),
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    progress: bool | None = False,
) -> EncodedStore:
    """Write the codes of all clips to a Parquet table, in memory that does not grow with the store.

    Rows are ordered by clip as in the store, then by modality as in the model, step and code layer, and the
    bytes of the file do not depend on the batch size. Masked steps have no row. The columns are described in
    docs/guide/codes.md. A file at `to` is replaced once the new one is complete, and not at all otherwise.

    Args:
        model: A trained method.
        store: Features with at least one modality of the model.
        to: The file to write.
        vectors: Also write the code vector of each row: the codeword itself, where there is a codebook.
        modalities: Which to encode; by default all that model and store have in common.
        level: How fine the codes are, of a model that offers a choice.
        batch_size: Clips at a time.
        shard: `(i, n)`: only the i-th of n parts of the clips, i from 0 on. The tables of all shards in one
            folder, named in their order, are one table for `read_codes`.
        engine: "local", or "ray" for Ray Data.
        workers: Processes of Ray; by default one for each core or GPU of the cluster.
        progress: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.

    Raises:
        InputError: As `iterate_codes`; or `to` cannot be written, or is named as another kind of file.
    """
    to = Path(to)
    if to.is_dir():
        raise InputError("this is a folder", where=to, expected="a file to write, such as codes.parquet")
    if to.suffix.lower() not in ("", ".parquet", ".pq"):
        raise InputError(
            f"codes are written as Parquet, not as {to.suffix}",
            where=to,
            expected=f"a name such as {to.stem}.parquet",
            fix="other programs read it by pandas.read_parquet, whose result has to_csv",
        )
    names = common_modalities(model, store, modalities)
    one_of("encode", ("local", "ray"), engine=engine)
    rows = _rows_of_shard(len(store), shard)
    layers = model.code_layers()
    notes = {
        "format_version": FORMAT_VERSION,
        "library_version": VERSION,
        "method": model.name,
        "checkpoint": state_fingerprint(model),
        "features": store.fingerprint,
        "modalities": list(names),
        "code_layers": layers,
        "merged": dict(model.merged),
        "level": level,
    }
    encode = _Encode(model, store, names, level, batch_size, vectors)
    tables = _on_ray(encode, rows, workers, progress) if engine == "ray" else encode.tables(rows, progress)
    with atomic_file(to) as scratch, scratch.open("wb") as sink, closing(tables):
        written = _write(sink, _regrouped(tables), {METADATA_KEY: json.dumps(notes)})
    return EncodedStore(to, written, len(rows), names, layers, dict(model.merged), vectors)


@dataclass(frozen=True)
class _Encode:
    """Rows of a store to tables of codes."""

    model: Model
    store: FeatureStore
    modalities: tuple[str, ...]
    level: str | None
    batch_size: int
    vectors: bool

    def tables(self, rows: range, progress: bool | None = False) -> Generator[pa.Table, None, None]:
        """A table for each batch."""
        codebooks = {m: book.detach() for m, book in self.model.codebooks().items()} if self.vectors else None
        layers = list(self.model.code_layers())
        for batch in iterate_codes(
            self.model,
            self.store,
            modalities=self.modalities,
            level=self.level,
            batch_size=self.batch_size,
            rows=rows,
            progress=progress,
        ):
            yield _table(batch, self.store, self.modalities, layers, codebooks)

    def __call__(self, rows: range) -> pa.Table:
        """One table, of a process of Ray."""
        if torch.cuda.is_available():
            self.model.cuda()
        return pa.concat_tables(self.tables(rows))


def _on_ray(
    encode: _Encode, rows: range, workers: int | None, progress: bool | None
) -> Generator[pa.Table, None, None]:
    size = encode.batch_size * _BATCHES_OF_RAY
    pieces = [rows[start : start + size] for start in range(0, len(rows), size)]
    device = next(encode.model.parameters()).device
    encode.model.cpu()  # to be pickled
    shown = Progress(progress, total=len(rows), unit="clip")
    try:
        with closing(ray_map(encode, pieces, workers, gpus=True)) as tables:
            for piece, table in zip(pieces, tables, strict=True):
                yield table
                shown.advance(len(piece))
                shown.report(f"encoded {shown.done}/{shown.total} clips, {shown.seconds:.0f} s", every=10.0)
    finally:
        encode.model.to(device)
        shown.close()


def _rows_of_shard(clips: int, shard: tuple[int, int]) -> range:
    number, shards = shard
    if not 0 <= number < shards:
        raise InputError(f"shard {number} of {shards}", where="encode", expected=f"0 to {shards - 1}")
    rows = range(clips * number // shards, clips * (number + 1) // shards)
    if not rows:
        raise InputError(f"{shards} shards of {clips} clips", where="encode", expected=f"at most {clips}")
    return rows


def _write(sink: Any, groups: Iterator[pa.Table], metadata: Mapping[str, str]) -> int:
    """Write the row groups; the number of rows."""
    writer, rows = None, 0
    try:
        for group in groups:
            if writer is None:
                schema = group.schema.with_metadata(metadata)
                writer = pq.ParquetWriter(sink, schema, compression="zstd", version="2.6")
            writer.write_table(group, row_group_size=len(group))
            rows += len(group)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Row groups of one size, wherever the batches began and ended."""
    pending = None
    for table in tables:
        pending = table if pending is None else pa.concat_tables([pending, table])
        width = table.schema.field("vector").type.list_size if "vector" in table.column_names else 1
        size = min(_GROUP_ROWS, max(_GROUP_NUMBERS // width, 1))
        while len(pending) >= size:
            yield pending.slice(0, size).combine_chunks()
            pending = pending.slice(size)
    if pending is not None and len(pending):
        yield pending.combine_chunks()


def _table(
    batch: CodeBatch,
    store: FeatureStore,
    modalities: Sequence[str],
    layers: Sequence[str],
    codebooks: Mapping[str, Tensor] | None,
) -> pa.Table:
    """The rows of a batch, by clip, modality, step and code layer; vectors unless `codebooks` is None."""
    parts = []
    for position, modality in enumerate(modalities):
        encoding = batch.encodings[modality]
        mask = batch.masks[modality].cpu().numpy()
        clip, step = (np.repeat(axis, len(layers)) for axis in np.nonzero(mask))
        parts.append(
            (
                clip,
                np.full(len(clip), position, np.int8),
                step.astype(np.int32),
                np.tile(np.arange(len(layers), dtype=np.int8), len(clip) // len(layers)),
                encoding.indices.cpu().numpy()[mask].reshape(-1),
                *(() if codebooks is None else (_vectors(batch, modality, layers, codebooks),)),
            )
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    clip, modality_of, step, layer_of, index, *rest = (column[order] for column in columns)
    ids = pa.array([store.ids[row] for row in batch.rows], pa.string())
    arrays = {
        "clip": ids.take(pa.array(clip)),
        "modality": pa.DictionaryArray.from_arrays(modality_of, pa.array(list(modalities), pa.string())),
        "step": pa.array(step),
        "code_layer": pa.DictionaryArray.from_arrays(layer_of, pa.array(list(layers), pa.string())),
        "index": pa.array(index).cast(pa.int32()),
    }
    for vector in rest:
        arrays["vector"] = pa.FixedSizeListArray.from_arrays(vector.reshape(-1), vector.shape[1])
    return pa.table(arrays)


def _vectors(
    batch: CodeBatch, modality: str, layers: Sequence[str], codebooks: Mapping[str, Tensor]
) -> Float32[np.ndarray, "rows dim"]:
    """Code vectors of the valid steps, one code layer after the other within a step.

    Looked up where there is a codebook, because `encode` hands out straight-through codes z + (e - z), which
    carry the rounding of z.
    """
    encoding, mask = batch.encodings[modality], batch.masks[modality]
    indices = encoding.indices[mask]
    values = [
        codebooks[layer][indices[:, k]] if layer in codebooks else layer_codes(encoding, k)[mask]
        for k, layer in enumerate(layers)
    ]
    return torch.stack([v.float().cpu() for v in values], dim=1).flatten(0, 1).numpy()
