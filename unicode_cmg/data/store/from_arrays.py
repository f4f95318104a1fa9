"""A whole store from arrays of all its clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.data.store.blocks import Features, aligned_blocks, clip_ids
from unicode_cmg.data.store.part import INDEX, Part, part_folders
from unicode_cmg.data.store.writer import StoreWriter
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, check_replaceable


def write_store(
    path: Path,
    features: Mapping[str, Features],
    ids: Iterable[Any],
    masks: Mapping[str, Any] | None,
    source: Mapping[str, Any] | None,
    tokens: Mapping[str, Iterable[Sequence[str]]] | None,
    columns: Mapping[str, Iterable[Any]] | None,
    part_bytes: int,
) -> None:
    """See `FeatureStore.write`."""
    clips, masks = clip_ids(ids, path), dict(masks or {})
    if not features or not clips:
        raise InputError("nothing to write", where=path, expected="at least one modality and one clip")
    masked = {name: _whole_mask(mask, clips, f"{path}: mask of '{name}'") for name, mask in masks.items()}
    given = {name: list(values) for name, values in (columns or {}).items()}
    for name, values in given.items():
        if len(values) != len(clips):
            where, expected = f"{path}: column '{name}'", f"{len(clips)}, as many as ids"
            raise InputError(f"{len(values)} values", where=where, expected=expected)
    words = {name: iter(sentences) for name, sentences in (tokens or {}).items()}
    check_replaceable(path, INDEX)
    with atomic_directory(path) as scratch:
        with StoreWriter(scratch, source=source, part_bytes=part_bytes) as writer:
            writer.where = str(path)
            for rows, block in aligned_blocks(features, len(clips), lambda m: f"{path}: modality '{m}'"):
                own = {name: mask for name, (_, mask) in block.items() if mask is not None}
                for name in own.keys() & masked.keys():
                    what = f"a mask for '{name}', whose clips were given one by one"
                    raise InputError(what, where=path, fix="give None for a clip that lacks it")
                writer.write(
                    clips[rows],
                    {name: values for name, (values, _) in block.items()},
                    masks=own | {name: mask[rows] for name, mask in masked.items()},
                    tokens={m: list(islice(w, rows.stop - rows.start)) for m, w in words.items()},
                    columns={name: values[rows] for name, values in given.items()},
                )
        for name, rest in words.items():
            if next(rest, None) is not None:
                where, expected = f"{path}: words of '{name}'", f"{len(clips)} clips"
                raise InputError("words for more clips than ids", where=where, expected=expected)
        for name in features.keys() - {
            m for _, part in part_folders(scratch) for m in Part.open(part).modalities
        }:
            raise InputError(f"no clip has a valid step of '{name}'", where=path, fix="leave it out")


def _whole_mask(mask: Any, clips: Sequence[str], where: str) -> Any:
    shape = tuple(getattr(mask, "shape", np.shape(mask)))
    if not shape or shape[0] != len(clips):
        raise InputError(
            f"a mask {list(shape)}", where=where, expected=f"[{len(clips)}, steps], or [{len(clips)}]"
        )
    return mask if hasattr(mask, "shape") else np.asarray(mask)
