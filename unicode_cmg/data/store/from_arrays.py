"""Features of all clips at once, written a few clips at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from unicode_cmg.data.store.blocks import Features, aligned_blocks, clip_ids
from unicode_cmg.data.store.part import INDEX, Part, part_folders
from unicode_cmg.data.store.writer import StoreWriter
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, check_replaceable

Change: TypeAlias = Callable[[slice, str, Any, Any], tuple[Any, Any]]
"""What to write for some rows of a modality, from its values `[n, T, ...]` and its mask `[n, T]` or None."""


def write_store(
    path: Path,
    features: Mapping[str, Features],
    ids: Iterable[Any],
    masks: Mapping[str, Any] | None,
    source: Mapping[str, Any] | None,
    tokens: Mapping[str, Iterable[Sequence[str]]] | None,
    columns: Mapping[str, Iterable[Any]] | None,
    part_bytes: int,
    change: Change | None = None,
) -> None:
    """See `FeatureStore.write`; `change` is applied to the features on their way."""
    check_replaceable(path, INDEX)
    with atomic_directory(path) as scratch:
        with StoreWriter(scratch, source=source, part_bytes=part_bytes) as writer:
            writer.where = str(path)
            add_clips(writer, features, ids, masks, tokens, columns, change)
        written = {name for _, part in part_folders(scratch) for name in Part.open(part).modalities}
        for name in features.keys() - written:
            raise InputError(f"no clip has a valid step of '{name}'", where=path, fix="leave it out")


def add_clips(
    writer: StoreWriter,
    features: Mapping[str, Features],
    ids: Iterable[Any],
    masks: Mapping[str, Any] | None = None,
    tokens: Mapping[str, Iterable[Sequence[str]]] | None = None,
    columns: Mapping[str, Iterable[Any]] | None = None,
    change: Change | None = None,
) -> None:
    """Add many clips to a store.

    Args:
        writer: Of the store.
        features, ids, masks, tokens, columns: As in `FeatureStore.write`.
        change: Applied to the features on their way.

    Raises:
        InputError: As `FeatureStore.write`.
    """
    where = writer.where
    clips = clip_ids(ids, where)
    if not features or not clips:
        raise InputError("nothing to write", where=where, expected="at least one modality and one clip")
    masked = {m: _whole_mask(mask, clips, f"{where}: mask of '{m}'") for m, mask in (masks or {}).items()}
    given = {name: list(values) for name, values in (columns or {}).items()}
    for name, column in given.items():
        if len(column) != len(clips):
            place, expected = f"{where}: column '{name}'", f"{len(clips)}, as many as ids"
            raise InputError(f"{len(column)} values", where=place, expected=expected)
    words = {name: iter(sentences) for name, sentences in (tokens or {}).items()}
    for rows, block in aligned_blocks(features, len(clips), lambda m: f"{where}: modality '{m}'"):
        own = {name: mask for name, (_, mask) in block.items() if mask is not None}
        for name in own.keys() & masked.keys():
            what = f"a mask for '{name}', whose clips were given one by one"
            raise InputError(what, where=where, fix="give None for a clip that lacks it")
        own |= {name: mask[rows] for name, mask in masked.items()}
        values = {name: array for name, (array, _) in block.items()}
        if change is not None:
            for name, array in values.items():
                values[name], own[name] = change(rows, name, array, own.get(name))
            own = {name: mask for name, mask in own.items() if mask is not None}
        writer.write(
            clips[rows],
            values,
            masks=own,
            tokens={name: list(islice(listed, rows.stop - rows.start)) for name, listed in words.items()},
            columns={name: column[rows] for name, column in given.items()},
        )
    for name, rest in words.items():
        if next(rest, None) is not None:
            place, expected = f"{where}: words of '{name}'", f"{len(clips)} clips"
            raise InputError("words for more clips than ids", where=place, expected=expected)


def _whole_mask(mask: Any, clips: Sequence[str], where: str) -> Any:
    shape = tuple(getattr(mask, "shape", np.shape(mask)))
    if not shape or shape[0] != len(clips):
        expected = f"[{len(clips)}, steps], or [{len(clips)}]"
        raise InputError(f"a mask {list(shape)}", where=where, expected=expected)
    return mask if hasattr(mask, "shape") else np.asarray(mask)
