"""Writing a feature store, a chunk at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data._arrays import replaceable
from unicode_cmg.data._tokens import tokens_file, write_tokens
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, write_json

INDEX = "features.json"
_DTYPES = ("float16", "float32", "float64")
_BLOCK = 256  # clips


def write_store(
    path: Path,
    features: Mapping[str, NDArray[Any] | Iterable[NDArray[Any]]],
    ids: Sequence[str],
    masks: Mapping[str, NDArray[np.bool_]],
    source: Mapping[str, Any] | None,
    tokens: Mapping[str, Iterable[Sequence[str]]],
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
                f"the modality name '{name}'",
                where=path,
                expected="letters, digits, '_', '-': it names a file",
            )
    for what, named in (("a mask", masks), ("words", tokens)):
        for name in named:
            if name not in features:
                raise InputError(f"{what} for '{name}', which has no features", where=path)
    replaceable(path, INDEX)
    with atomic_directory(path) as scratch:
        content, modalities = {}, {}
        for name, values in features.items():
            chunks = _blocks(values) if isinstance(values, np.ndarray) else values
            shape, dtype, content[f"{name}.npy"] = _write_chunks(
                scratch / f"{name}.npy", chunks, ids, f"{path}: modality '{name}'"
            )
            modalities[name] = {"shape": list(shape), "dtype": dtype}
            if name in masks:
                file = scratch / f"{name}.mask.npy"
                content[file.name] = _write_mask(
                    file, masks[name], ids, shape[0], f"{path}: mask of '{name}'"
                )
            if name in tokens:
                file = tokens_file(scratch, name)
                steps = masks[name].sum(axis=1) if name in masks else np.full(len(ids), shape[0])
                content[file.name] = write_tokens(
                    file, tokens[name], steps, ids, f"{path}: words of '{name}'"
                )
        (scratch / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        index = {"format_version": 1, "clips": len(ids), "modalities": modalities, "content": content}
        write_json(scratch / INDEX, index | ({"source": dict(source)} if source else {}))


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array in blocks: it may itself be a map of a file larger than memory."""
    for start in range(0, len(values), _BLOCK):
        yield values[start : start + _BLOCK]


def _write_chunks(
    file: Path, chunks: Iterable[NDArray[Any]], ids: Sequence[str], where: str
) -> tuple[tuple[int, ...], str, str]:
    """The shape of one clip, the dtype, and the sha256 of the values written."""
    done, digest = 0, hashlib.sha256()
    shape: tuple[int, ...] = ()
    dtype = np.dtype(np.float32)
    # not through a memory map: on a full disk a write is an error, a store into a map kills the process
    with file.open("wb") as stream:
        for given in chunks:
            chunk = np.ascontiguousarray(given)
            if not shape:
                shape, dtype = chunk.shape[1:], chunk.dtype
                _check_kind(chunk, where)
                header = {"descr": dtype.str, "fortran_order": False, "shape": (len(ids), *shape)}
                np.lib.format.write_array_header_1_0(stream, header)
            if chunk.shape[1:] != shape or chunk.dtype != dtype:
                raise InputError(
                    f"a chunk {list(chunk.shape)} of {chunk.dtype} after clip {done}",
                    where=where,
                    expected=f"[clips, {', '.join(map(str, shape))}] of {dtype}",
                )
            if done + len(chunk) > len(ids):
                raise InputError("more clips than ids", where=where, expected=f"{len(ids)} clips")
            bad = ~np.isfinite(chunk).all(axis=tuple(range(1, chunk.ndim)))
            if bad.any():
                clip = ids[done + int(np.flatnonzero(bad)[0])]
                raise InputError(f"NaN or infinite values in clip '{clip}'", where=where)
            content = chunk.reshape(-1).view(np.uint8).data
            stream.write(content)
            digest.update(content)
            done += len(chunk)
    if done != len(ids):
        raise InputError(f"{done} clips", where=where, expected=f"{len(ids)}, as many as ids")
    return shape, dtype.name, digest.hexdigest()


def _check_kind(chunk: NDArray[Any], where: str) -> None:
    if chunk.dtype.name not in _DTYPES or not chunk.dtype.isnative:
        raise InputError(f"values of {chunk.dtype}", where=where, expected=" or ".join(_DTYPES))
    if chunk.ndim < 3 or 0 in chunk.shape[1:]:
        raise InputError(f"an array {list(chunk.shape)}", where=where, expected="[clips, time, dims]")


def _write_mask(file: Path, mask: NDArray[np.bool_], ids: Sequence[str], steps: int, where: str) -> str:
    if mask.dtype != np.bool_ or mask.shape != (len(ids), steps):
        raise InputError(
            f"{list(mask.shape)} of {mask.dtype}", where=where, expected=f"[{len(ids)}, {steps}] of bool"
        )
    empty = np.flatnonzero(~mask.any(axis=1))
    if len(empty):
        raise InputError(f"no valid step in clip '{ids[empty[0]]}'", where=where, fix="drop the clip")
    np.save(file, mask, allow_pickle=False)
    return hashlib.sha256(mask.tobytes()).hexdigest()
