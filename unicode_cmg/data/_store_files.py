"""The files of a feature store: written a chunk at a time, and its arrays and words read back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, check_replaceable, reading, write_json

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
            expected = "letters, digits, '_' and '-', because it names a file"
            raise InputError(f"the modality name '{name}'", where=path, expected=expected)
    for what, named in (("a mask", masks), ("words", tokens)):
        for name in named:
            if name not in features:
                raise InputError(f"{what} for '{name}', which has no features", where=path)
    check_replaceable(path, INDEX)
    with atomic_directory(path) as scratch:
        content, modalities = {}, {}
        for name, values in features.items():
            chunks = values
            if isinstance(values, np.ndarray):  # in blocks: it may itself map a file larger than memory
                chunks = np.split(values, range(_BLOCK, len(values), _BLOCK))
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
                if dtype.name not in _DTYPES or not dtype.isnative:
                    raise InputError(f"values of {dtype}", where=where, expected=" or ".join(_DTYPES))
                if chunk.ndim < 3 or 0 in shape:
                    raise InputError(
                        f"the array is {list(chunk.shape)}", where=where, expected="[clips, time, ...]"
                    )
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


def open_array(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Map a .npy file read-only.

    Raises:
        InputError: The file is missing, empty, truncated or no .npy file, or is not of this shape and dtype.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError("no such file", where=path, expected=f"an array {list(shape)} of {dtype}") from None
    except (ValueError, EOFError, OSError):
        raise InputError(
            "not a readable .npy file", where=path, fix="it is empty or truncated; write the store again"
        ) from None
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.dtype(dtype):
        several = not isinstance(array, np.ndarray)
        content = "several arrays" if several else f"{list(array.shape)} of {array.dtype}"
        raise InputError(f"the array is {content}", where=path, expected=f"{list(shape)} of {dtype}")
    return array


def tokens_file(store: Path, modality: str) -> Path:
    """The file of the words of a modality: one JSON list of strings for each clip."""
    return store / f"{modality}.tokens.jsonl"


def write_tokens(
    file: Path,
    tokens: Iterable[Sequence[str]],
    steps: Int64[np.ndarray, " clips"],
    ids: Sequence[str],
    where: str,
) -> str:
    """Write the words of each clip, one for each of its valid `steps`; the sha256 of the file.

    Raises:
        InputError: There are not as many clips as `ids`, or a clip has not as many words as valid steps.
    """
    done, digest = 0, hashlib.sha256()
    with file.open("wb") as stream:
        for done, words in enumerate(tokens, start=1):
            if done > len(ids):
                raise InputError("words for more clips than ids", where=where, expected=f"{len(ids)} clips")
            listed = words if isinstance(words, str) else list(words)
            _check_words(listed, int(steps[done - 1]), ids[done - 1], where)
            line = json.dumps(listed, ensure_ascii=False).encode() + b"\n"
            stream.write(line)
            digest.update(line)
    if done != len(ids):
        raise InputError(f"words for {done} clips", where=where, expected=f"{len(ids)}, as many as ids")
    return digest.hexdigest()


def read_tokens(
    file: Path, masks: Iterable[Bool[np.ndarray, " time"]], ids: Sequence[str]
) -> Iterator[tuple[str | None, ...]]:
    """The words of one clip after the other, None where a step is padding.

    Raises:
        InputError: The file is missing or damaged, or does not fit the clips and their valid steps.
    """
    try:
        with reading(file), file.open(encoding="utf-8") as lines:
            for clip, mask in zip(ids, masks, strict=True):
                line = lines.readline()
                if not line:
                    raise InputError(
                        f"it ends before clip '{clip}'", where=file, expected=f"{len(ids)} lines"
                    )
                try:
                    words = json.loads(line)
                except json.JSONDecodeError:
                    raise InputError(f"the line of clip '{clip}' is not valid JSON", where=file) from None
                _check_words(words, int(mask.sum()), clip, str(file))
                remaining = iter(words)
                yield tuple(next(remaining) if valid else None for valid in mask)
            if lines.readline():
                raise InputError("more lines than clips", where=file, expected=f"{len(ids)} lines")
    except UnicodeDecodeError:
        raise InputError("not a text file", where=file, expected="UTF-8 text") from None


def _check_words(words: Any, steps: int, clip: str, where: str) -> None:
    # half of a surrogate pair is a `str`, but cannot be written
    if not isinstance(words, list) or not all(
        isinstance(word, str) and not any("\ud800" <= c <= "\udfff" for c in word) for word in words
    ):
        raise InputError(f"clip '{clip}' has no list of words", where=where, expected="strings")
    if len(words) != steps:
        raise InputError(
            f"{len(words)} words in clip '{clip}'", where=where, expected=f"{steps}, one for each valid step"
        )
