"""Writing a feature store, a chunk at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data._arrays import replaceable
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, write_json

INDEX = "features.json"
_DTYPES = ("float16", "float32", "float64")


def write_store(
    path: Path,
    features: Mapping[str, NDArray[Any] | Iterable[NDArray[Any]]],
    ids: Sequence[str],
    masks: Mapping[str, NDArray[np.bool_]],
    source: Mapping[str, Any] | None,
) -> None:
    """See `FeatureStore.write`."""
    if not features or not ids:
        raise InputError("nothing to write", where=path, expected="at least one modality and one clip")
    for clip in ids:
        if not clip.strip() or len(clip.splitlines()) != 1:
            raise InputError(f"the clip id {clip!r}", where=path, expected="one line of text")
    for name in features:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise InputError(
                f"the modality name '{name}'", where=path, expected="letters, digits, '_' and '-': it names a file"
            )
    for name in masks:
        if name not in features:
            raise InputError(f"a mask for '{name}', which has no features", where=path)
    replaceable(path, INDEX)
    with atomic_directory(path) as scratch:
        content, modalities = {}, {}
        for name, values in features.items():
            chunks = [values] if isinstance(values, np.ndarray) else values
            shape, dtype, content[f"{name}.npy"] = _write_chunks(scratch, name, chunks, ids, path)
            modalities[name] = {"shape": list(shape), "dtype": dtype}
            if name in masks:
                content[f"{name}.mask.npy"] = _write_mask(scratch, name, masks[name], (len(ids), shape[0]), ids, path)
        (scratch / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        index = {"format_version": 1, "clips": len(ids), "modalities": modalities, "content": content}
        write_json(scratch / INDEX, index | ({"source": dict(source)} if source else {}))


def _write_chunks(
    scratch: Path, name: str, chunks: Iterable[NDArray[Any]], ids: Sequence[str], path: Path
) -> tuple[tuple[int, ...], str, str]:
    """The shape of one clip, the dtype, and the sha256 of the values written."""
    where, done, digest = f"{path}: modality '{name}'", 0, hashlib.sha256()
    target: NDArray[Any] | None = None
    for given in chunks:
        chunk = np.ascontiguousarray(given)
        if target is None:
            if chunk.dtype.name not in _DTYPES:
                raise InputError(f"values of {chunk.dtype}", where=where, expected=" or ".join(_DTYPES))
            if chunk.ndim < 3 or 0 in chunk.shape[1:]:
                raise InputError(f"an array {list(chunk.shape)}", where=where, expected="[clips, time, ...], none 0")
            target = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                scratch / f"{name}.npy", mode="w+", dtype=chunk.dtype, shape=(len(ids), *chunk.shape[1:])
            )
        if chunk.shape[1:] != target.shape[1:] or chunk.dtype != target.dtype:
            raise InputError(
                f"a chunk {list(chunk.shape)} of {chunk.dtype} after clip {done}",
                where=where,
                expected=f"[clips, {', '.join(map(str, target.shape[1:]))}] of {target.dtype}",
            )
        if done + len(chunk) > len(ids):
            raise InputError(f"more than {done + len(chunk) - 1} clips", where=where, expected=f"{len(ids)} as ids")
        bad = ~np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)
        if bad.any():
            clip = ids[done + int(np.flatnonzero(bad)[0])]
            raise InputError(f"NaN or infinite values in clip '{clip}'", where=where, expected="finite values")
        target[done : done + len(chunk)] = chunk
        digest.update(chunk.reshape(-1).view(np.uint8))
        done += len(chunk)
    if target is None or done != len(ids):
        raise InputError(f"{done} clips", where=where, expected=f"{len(ids)}, as many as ids")
    target.flush()  # type: ignore[attr-defined]
    return target.shape[1:], target.dtype.name, digest.hexdigest()


def _write_mask(
    scratch: Path, name: str, mask: NDArray[np.bool_], shape: tuple[int, int], ids: Sequence[str], path: Path
) -> str:
    where = f"{path}: mask of '{name}'"
    if mask.dtype != np.bool_ or mask.shape != shape:
        raise InputError(f"{list(mask.shape)} of {mask.dtype}", where=where, expected=f"{list(shape)} of bool")
    empty = np.flatnonzero(~mask.any(axis=1))
    if len(empty):
        raise InputError(f"no valid step in clip '{ids[empty[0]]}'", where=where, fix="drop the clip")
    np.save(scratch / f"{name}.mask.npy", mask, allow_pickle=False)
    return hashlib.sha256(mask.tobytes()).hexdigest()
