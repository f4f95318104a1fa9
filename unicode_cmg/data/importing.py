"""`unicode-cmg data import`: features in the form in which people have them, as a feature store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.alignment import align, step_spans
from unicode_cmg.data.sources import Source, Wanted, open_source
from unicode_cmg.data.sources.clip_table import join_split_lists, join_table, split_lists_beside, table_beside
from unicode_cmg.data.sources.prepared import prepared
from unicode_cmg.data.store import FeatureStore, StoreWriter
from unicode_cmg.data.store.from_arrays import Change, add_clips, write_store
from unicode_cmg.data.store.part import DTYPES
from unicode_cmg.data.store.writer import PART_BYTES
from unicode_cmg.errors import InputError, at_least, one_of, unknown


@dataclass(frozen=True)
class Imported:
    """What was written.

    Attributes:
        source: Where it is from.
        store: The store.
        added: Clips that were added.
        guesses: What was recognized, guessed and left out, a line each.
    """

    source: Path
    store: FeatureStore
    added: int
    guesses: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "source": str(self.source),
            "store": str(self.store.path),
            "added": self.added,
            "clips": len(self.store),
            "modalities": {name: list(shape) for name, shape in self.store.modalities.items()},
            "columns": list(self.store.columns),
            "guesses": list(self.guesses),
        }

    def text(self) -> str:
        """The result as lines for people."""
        return "\n".join([*self.guesses, f"{self.store.path}: {self.added} clips written"])


def import_features(
    source: str | Path,
    to: str | Path,
    *,
    modalities: Mapping[str, str] | None = None,
    ids: str | None = None,
    table: str | Path | None = None,
    id_column: str | None = None,
    align_to: int | Mapping[str, int] | None = None,
    axes: Mapping[str, str] | None = None,
    dtype: str | None = None,
    append: bool = False,
) -> Imported:
    """Write a feature store from any of the forms that docs/guide/own-data.md lists.

    What is not said is guessed from names, types and shapes, and the guesses are told.

    Args:
        source: A file or a folder.
        to: The store to write; an existing store is replaced.
        modalities: Modality -> its key in the source; by default each array or column of floats is one.
        ids: The key of the clip ids in the source.
        table: A csv with a row for each clip; by default one that lies beside the features.
        id_column: Its column of ids.
        align_to: Bring all modalities, or those named, to so many steps, by the times of their steps if the
            source has them, else by share of the clip.
        axes: Modality -> the order of the axes of a clip: T steps, C channels, H height and W width, such as
            "CT" or "TCHW"; by default "TC" or "THWC".
        dtype: "float16", "float32" or "float64"; by default that of the source.
        append: Add the clips to the store instead of replacing it.

    Raises:
        InputError: The source has no known form or is damaged, its parts do not fit each other, or the store
            cannot be written.
    """
    source, to = Path(source), Path(to)
    if dtype is not None:
        one_of("--dtype", DTYPES, dtype=dtype)
    found = open_source(source, Wanted(dict(modalities or {}), ids))
    if found.clips == 0:
        raise InputError("there is no clip in it", where=source)
    tables = _join_tables(found, None if table is None else Path(table), id_column)
    if found.ids is None:
        found.ids, found.ids_from = range(found.clips), "their order, 0, 1, 2 …"
    steps = _steps(align_to, found)
    tokens = {name: words for name, words in found.tokens.items() if name not in steps}
    found.features = prepared(found, axes or {}, dtype)
    change = _change(found, steps)
    guesses = _guesses(found, tables)
    if append:
        with StoreWriter(to) as writer:
            add_clips(writer, found.features, found.ids, found.masks, tokens, found.columns, change)
    else:
        note = found.origin or {"imported": source.name, "form": found.kind}
        write_store(
            to, found.features, found.ids, found.masks, note, tokens, found.columns, PART_BYTES, change
        )
    return Imported(source, FeatureStore.open(to), found.clips, tuple(guesses))


def _join_tables(found: Source, table: Path | None, id_column: str | None) -> list[str]:
    """Add the columns of the table that was named, or of those beside the features; names of the files."""
    lists: list[Path] = []
    if table is None and found.kind != "a feature store":
        table, lists = table_beside(found.path), split_lists_beside(found.path)
    if table is not None:
        join_table(found, table, id_column)
    if "split" in found.columns:
        lists = []
    if lists:
        join_split_lists(found, lists, id_column)
    elif id_column is not None and table is None:
        raise InputError("--id-column needs a table", where=found.path, fix="name the csv by --labels")
    return [file.name for file in (table, *lists) if file is not None]


def _steps(align_to: int | Mapping[str, int] | None, found: Source) -> dict[str, int]:
    if align_to is None:
        return {}
    steps = dict.fromkeys(found.features, align_to) if isinstance(align_to, int) else dict(align_to)
    for name, count in steps.items():
        if name not in found.features:
            raise unknown("modality", name, found.features, where="--align")
        at_least("--align", 1, **{name: count})
    return steps


def _change(found: Source, steps: Mapping[str, int]) -> Change | None:
    """What happens to features on their way: their steps are aligned."""
    if not steps:
        return None

    def change(rows: slice, name: str, values: Any, mask: Any) -> tuple[Any, Any]:
        if name not in steps:
            return values, mask
        return _align_clips(np.asarray(values), mask, steps[name], found, name, rows)

    return change


def _align_clips(
    values: NDArray[Any], mask: Any, steps: int, found: Source, name: str, rows: slice
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Clips `[n, T, ...]` at common steps. By times, a clip ends with the last step of any modality."""
    times = {modality: of[rows] for modality, of in found.times.items()}
    if values.ndim == 2:
        values = values[:, None]
    valid = np.ones(values.shape[:2], bool) if mask is None else np.asarray(mask)
    if valid.ndim == 1:
        valid = np.repeat(valid[:, None], values.shape[1], axis=1)
    aligned = np.zeros((len(values), steps, *values.shape[2:]), values.dtype)
    has = np.zeros((len(values), steps), bool)
    for row, (clip, real) in enumerate(zip(values, valid, strict=True)):
        if not real.any():
            continue
        spans = {m: _clip_spans(of[row]) for m, of in times.items() if of[row] is not None and len(of[row])}
        when = spans.get(name)
        if when is not None and len(when) != real.sum():
            when = when[: len(clip)][real[: len(when)]]  # padded, as the features are
        end = max((float(span.max()) for span in spans.values()), default=None)
        aligned[row], has[row] = align(clip[real], steps, times=when, duration=end)
    return aligned, has


def _clip_spans(times: Any) -> NDArray[np.float64]:
    listed = np.asarray(times, np.float64)
    return step_spans(listed, len(listed))


def _guesses(found: Source, tables: Sequence[str]) -> list[str]:
    """What was understood, a line each."""
    lines = [f"{found.path}: {found.kind}, {found.clips} clips, ids from {found.ids_from}"]
    for name in found.features:
        also = [
            what
            for what, held in (("mask", found.masks), ("times", found.times), ("words", found.tokens))
            if name in held
        ]
        lines.append(f"modality {name}" + (f", with its {' and '.join(also)}" if also else ""))
    if found.columns:
        lines.append(f"columns {', '.join(found.columns)}" + (f" ({', '.join(tables)})" if tables else ""))
    return [*lines, *(f"note: {note}" for note in dict.fromkeys(found.notes))]
