"""What a caller gives as features, as blocks of a few clips that are checked and fit each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray

from unicode_cmg.data.store.part import DTYPES
from unicode_cmg.data.store.rows import all_finite
from unicode_cmg.errors import InputError

Features: TypeAlias = Any
"""`[N, T, ...]` floats, or `[N, C]` for one step a clip: an array of NumPy, torch or HDF5. Or a list with one
`[T, ...]` array for each clip, of any T, or None for a clip that lacks the modality. Or an iterator over
`[n, T, ...]` chunks."""

_BLOCK_BYTES = 4 << 20


class Block(NamedTuple):
    """Features of n clips in one modality: `values [m, T, ...]` of the m clips whose mask has a True."""

    values: NDArray[np.floating[Any]]
    mask: Bool[np.ndarray, "clips time"]


def clip_ids(given: Iterable[Any], where: object) -> list[str]:
    """The ids as text: strings, or whole numbers of Python, NumPy or torch.

    Raises:
        InputError: One is neither, is empty or has several lines.
    """
    listed = given.tolist() if isinstance(given, (np.ndarray, torch.Tensor)) else list(given)
    ids = [clip if isinstance(clip, str) else _integer_text(clip, where) for clip in listed]
    if not _are_lines(ids):
        wrong = next(clip for clip in ids if not _are_lines([clip]))
        raise InputError(f"the clip id {wrong!r}", where=where, expected="one line of text, or an integer")
    return ids


def _integer_text(clip: Any, where: object) -> str:
    number = clip.item() if isinstance(clip, torch.Tensor) and clip.ndim == 0 else clip
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise InputError(f"the clip id {clip!r}", where=where, expected="one line of text, or an integer")
    return str(number)


def _are_lines(ids: Sequence[str]) -> bool:
    joined = "\n".join(ids)
    try:
        joined.encode()  # half of a surrogate pair is a `str`, but cannot be written
    except UnicodeEncodeError:
        return False
    return len(joined.splitlines()) == len(ids) and all(map(str.strip, ids))


def as_floats(values: Any, where: str) -> NDArray[np.floating[Any]]:
    """Values of any float type as float16, float32 or float64; an array `[n, C]` as `[n, 1, C]`.

    Raises:
        InputError: They are not floats, or have no time or no features.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        if values.is_floating_point() and values.dtype not in (torch.float16, torch.float32, torch.float64):
            values = values.float()  # bfloat16 and smaller
        values = values.numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError("arrays of different shapes", where=where, expected="[clips, time, ...]") from None
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.name not in DTYPES:
        fix = "convert them, such as by .astype('float32')" if array.dtype.kind in "biufg" else None
        raise InputError(f"values of {array.dtype}", where=where, expected=" or ".join(DTYPES), fix=fix)
    if array.ndim == 2:
        array = array[:, None]
    if array.ndim < 3 or 0 in array.shape[1:]:
        raise InputError(f"the array is {list(array.shape)}", where=where, expected="[clips, time, ...]")
    return np.ascontiguousarray(array)


def one_clip(values: Any, where: str) -> NDArray[np.floating[Any]]:
    """`[1, T, ...]` from `[T, ...]`, or from `[C]`, which is one step; errors as in `as_floats`."""
    return as_floats(values[None] if hasattr(values, "shape") else np.asarray(values)[None], where)


def block_of(values: Any, mask: Any, ids: Sequence[str], where: Callable[[str], str]) -> Block:
    """Check the features of some clips and leave out those of clips that lack the modality.

    Args:
        values: `[n, T, ...]`.
        mask: `[n, T]`, True where a step is valid, or `[n]`, True for a clip that has the modality; None if
            all steps are valid.
        ids: The n clips.
        where: From "features" or "mask" to the place that messages name.

    Raises:
        InputError: Shape or type do not fit, or a valid step has a value that is not finite.
    """
    array = as_floats(values, where("features"))
    clips, steps = array.shape[:2]
    if clips != len(ids):
        raise InputError(f"{clips} clips", where=where("features"), expected=f"{len(ids)}, as many as ids")
    valid = np.ones((clips, steps), bool) if mask is None else _mask_of(mask, clips, steps, where("mask"))
    if not all_finite(array):
        bad = ~np.isfinite(array).reshape(clips, steps, -1).all(axis=2)
        if (bad & valid).any():
            clip = ids[int(np.flatnonzero((bad & valid).any(axis=1))[0])]
            raise InputError(
                f"NaN or infinite values in clip '{clip}'"
                + ("" if mask is None else ", in a step that its mask says is valid"),
                where=where("features"),
                fix="extract it again, drop it, or mask these steps" if mask is None else "mask these steps",
            )
        array = array.copy()
        array[bad] = 0
    has = valid.any(axis=1)
    return Block(array if has.all() else array[has], valid)


def _mask_of(mask: Any, clips: int, steps: int, where: str) -> Bool[np.ndarray, "clips time"]:
    array = mask.cpu().numpy() if isinstance(mask, torch.Tensor) else np.asarray(mask)
    if array.dtype == np.bool_ and array.shape == (clips,):
        array = np.repeat(array[:, None], steps, axis=1)
    if array.dtype != np.bool_ or array.shape != (clips, steps):
        expected = f"[{clips}, {steps}] of bool, or [{clips}]"
        raise InputError(f"{list(array.shape)} of {array.dtype}", where=where, expected=expected)
    return array


def aligned_blocks(
    features: Mapping[str, Features], clips: int, where: Callable[[str], str]
) -> Iterator[tuple[slice, dict[str, tuple[Any, Any]]]]:
    """Cut the features of all modalities at the same clips, into blocks of a few megabytes.

    Yields:
        The rows, and for each modality its values `[n, T, ...]`, and its mask `[n, T]` or None.

    Raises:
        InputError: A modality has more or fewer clips, or nothing was given.
    """
    readers = {name: _reader(values, clips, where(name)) for name, values in features.items()}
    sizes = [reader.clip_bytes() for reader in readers.values()]
    step = max(1, _BLOCK_BYTES // max(*sizes, 1))
    for start in range(0, clips, step):
        rows = slice(start, min(start + step, clips))
        yield rows, {name: reader.take(rows) for name, reader in readers.items()}
    for reader in readers.values():
        reader.finish()


def _reader(values: Features, clips: int, where: str) -> _Array | _List | _Chunks:
    if hasattr(values, "shape"):
        frame = not hasattr(values, "dtype") and hasattr(values, "to_numpy")  # a table of pandas
        return _Array(values.to_numpy() if frame else values, clips, where)
    if isinstance(values, Sequence):
        return _List(values, clips, where)
    if isinstance(values, Iterable):
        return _Chunks(iter(values), clips, where)
    raise InputError(f"a {type(values).__name__}", where=where, expected="an array [clips, time, ...]")


class _Array:
    """An array, in memory or on disk, read by slices."""

    def __init__(self, values: Any, clips: int, where: str) -> None:
        if len(values.shape) < 2:
            shape = list(values.shape)
            raise InputError(f"the array is {shape}", where=where, expected="[clips, time, ...]")
        if values.shape[0] != clips:
            expected = f"{clips}, as many as ids"
            raise InputError(f"{values.shape[0]} clips", where=where, expected=expected)
        self._values = values

    def clip_bytes(self) -> int:
        return int(np.prod(self._values.shape[1:])) * int(getattr(self._values.dtype, "itemsize", 4))

    def take(self, rows: slice) -> tuple[Any, Any]:
        return self._values[rows], None

    def finish(self) -> None:
        pass


class _List:
    """One array `[T, ...]` for each clip, of any T, or None."""

    def __init__(self, values: Sequence[Any], clips: int, where: str) -> None:
        if len(values) != clips:
            expected = f"{clips} arrays [time, ...], one for each clip, or None for a clip that has none"
            raise InputError(f"a list of {len(values)}", where=where, expected=expected)
        self._values, self._where = values, where
        self._like = next((value for value in values if value is not None), None)
        if self._like is None:
            raise InputError("no clip has it", where=where, expected="at least one array")

    def clip_bytes(self) -> int:
        return one_clip(self._like, self._where).nbytes

    def take(self, rows: slice) -> tuple[Any, Any]:
        given = self._values[rows]
        clips = [None if value is None else one_clip(value, self._where)[0] for value in given]
        some = [clip for clip in clips if clip is not None]
        if not some:
            like = one_clip(self._like, self._where)
            return np.zeros((len(clips), 1, *like.shape[2:]), like.dtype), np.zeros((len(clips), 1), bool)
        steps = max(len(clip) for clip in some)
        values = np.zeros((len(clips), steps, *some[0].shape[1:]), some[0].dtype)
        mask = np.zeros((len(clips), steps), bool)
        for at, clip in enumerate(clips):
            if clip is None:
                continue
            if clip.shape[1:] != values.shape[2:] or clip.dtype != values.dtype:
                raise InputError(
                    f"an array {list(clip.shape)} of {clip.dtype} for clip {rows.start + at}",
                    where=self._where,
                    expected=f"[time, {', '.join(map(str, values.shape[2:]))}] of {values.dtype}",
                )
            values[at, : len(clip)], mask[at, : len(clip)] = clip, True
        return values, mask

    def finish(self) -> None:
        pass


class _Chunks:
    """An iterator over chunks `[n, T, ...]`, cut and joined again at other clips."""

    def __init__(self, chunks: Iterator[Any], clips: int, where: str) -> None:
        self._chunks, self._clips, self._where = chunks, clips, where
        self._done, self._rest = 0, self._next()

    def _next(self) -> NDArray[Any]:
        for chunk in self._chunks:
            array = as_floats(chunk, self._where)
            if len(array):
                return array
        return np.zeros((0, 1, 1), np.float32)

    def clip_bytes(self) -> int:
        return self._rest[:1].nbytes

    def take(self, rows: slice) -> tuple[Any, Any]:
        wanted, pieces = rows.stop - rows.start, list[NDArray[Any]]()
        while wanted:
            if not len(self._rest):
                self._rest = self._next()
                if not len(self._rest):
                    expected = f"{self._clips}, as many as ids"
                    raise InputError(f"{self._done} clips", where=self._where, expected=expected)
            piece, self._rest = self._rest[:wanted], self._rest[wanted:]
            if pieces and (piece.shape[1:] != pieces[0].shape[1:] or piece.dtype != pieces[0].dtype):
                raise InputError(
                    f"a chunk {list(piece.shape)} of {piece.dtype} after clip {self._done}",
                    where=self._where,
                    expected=f"[clips, {', '.join(map(str, pieces[0].shape[1:]))}] of {pieces[0].dtype}",
                )
            pieces.append(piece)
            self._done += len(piece)
            wanted -= len(piece)
        return (pieces[0] if len(pieces) == 1 else np.concatenate(pieces)), None

    def finish(self) -> None:
        if len(self._rest) or len(self._next()):
            raise InputError("more clips than ids", where=self._where, expected=f"{self._clips} clips")
