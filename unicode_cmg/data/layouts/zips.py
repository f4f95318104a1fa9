"""One zip for each clip with a pickled array inside: the form in which most features are published.

A pickle can run any program and NumPy's own `__setstate__` trusts its input, so neither is used: the
unpickler knows a few names, and each stands for a small class of this file, which a pickle cannot change.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from unicode_cmg.data.layouts.arrays import check_finite
from unicode_cmg.errors import InputError
from unicode_cmg.files import check_regular

STEPS = 10
"""Seconds of a clip in AVE, AVVP, UCF101 <-> VGGSound and VGGSound-AVEL."""

_MAX_BYTES = 1 << 30  # a clip of 10x7x7x512 in float64 is 2 MB; a file that unpacks to far more is no clip
_SMALL, _MOST_INFLATED = 16 << 20, 100  # bytes that may inflate at will, and how far others may
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # equal clips make equal files
_MAX_OPCODES = 200  # an array takes some 40, whatever its size; more would only serve to use up the memory


class PaddedClips(NamedTuple):
    """Clips of different lengths: `values [clips, T, ...]`, zeros where `mask [clips, T]` is False."""

    values: Float32[np.ndarray, "clips time ..."]
    mask: Bool[np.ndarray, "clips time"]


def read_clip(path: Path) -> Float32[np.ndarray, "time ..."]:
    """Features `[T, ...]` of one clip; of several `.pkl` members the last one counts, as published.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_clip(Path(folder, "clip.zip"), np.ones((10, 128)))
    ...     read_clip(Path(folder, "clip.zip")).shape
    (10, 128)

    Raises:
        InputError: The file is missing, truncated or no zip; it does not hold one pickled array of numbers;
            or a value is not finite.
    """
    with np.errstate(over="ignore"):
        values = read_stored(path).astype(np.float32)
    if values.ndim < 2 or 0 in values.shape:
        raise InputError(f"the array is {list(values.shape)}", where=path, expected="[time, ...]")
    check_finite(values[None], where=path, name=lambda _: f"clip '{path.stem}'")
    return values


def read_stored(path: Path) -> NDArray[Any]:
    """The array of a zip as it is, of any shape and dtype; errors as in `read_clip`."""
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if ".pkl" in info.filename]
            if not members:
                raise InputError("no .pkl member in this zip", where=path)
            size, stored = members[-1].file_size, members[-1].compress_size
            if size > _MAX_BYTES or (size > _SMALL and size > _MOST_INFLATED * stored):
                raise InputError(f"{size} bytes unpacked", where=path, expected="one clip's features")
            content = archive.read(members[-1])
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the data root, or drop the clip") from None
    except InputError:
        raise
    except Exception as error:  # a damaged zip can fail in any way, down to the names in its directory
        raise InputError(f"not a readable zip ({error})", where=path, fix="download it again") from error
    return _unpickle_array(content, path)


def read_clips(paths: Sequence[Path], steps: int = STEPS) -> Float32[np.ndarray, "clips steps ..."]:
    """Several clips, each cut to its first `steps` rows or padded with copies of its last row.

    Raises:
        InputError: As `read_clip`; or there is no clip, or its dimensions differ from the first one's.
    """
    clips = _read_alike(paths)
    return np.stack([values[np.minimum(np.arange(steps), len(values) - 1)] for values in clips])


def read_padded(paths: Sequence[Path], steps: int | None = None) -> PaddedClips:
    """Several clips, each cut to its first `steps` rows or padded with zeros; errors as in `read_clips`.

    Args:
        paths: Their zips.
        steps: T of the result; the length of the longest clip by default.
    """
    clips = _read_alike(paths)
    steps = steps or max(map(len, clips))
    values = np.zeros((len(clips), steps, *clips[0].shape[1:]), np.float32)
    for row, clip in zip(values, clips, strict=True):
        row[: len(clip)] = clip[:steps]
    return PaddedClips(values, np.arange(steps) < np.array([len(clip) for clip in clips])[:, None])


def _read_alike(paths: Sequence[Path]) -> list[NDArray[np.float32]]:
    """Clips of any length but equal dimensions."""
    if not paths:
        raise InputError("no clip to read", where="features", expected="at least one row")
    clips: list[NDArray[np.float32]] = []
    for path in paths:
        values = read_clip(path)
        if clips and values.shape[1:] != clips[0].shape[1:]:
            shape, expected = list(values.shape[1:]), f"{list(clips[0].shape[1:])}"
            raise InputError(f"features of {shape} a step", where=path, expected=expected)
        clips.append(values)
    return clips


def write_clip(path: Path, values: NDArray[Any]) -> None:
    """Write features `[T, ...]` as `<stem>.pkl` in a zip, pickled so that NumPy 1 and NumPy 2 can load it."""
    content = pickle.dumps(np.ascontiguousarray(values), protocol=3)
    content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray", 1)
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(f"{path.stem}.pkl", _FIXED_TIME)
        archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=1)


def write_clips(folder: Path, clips: Mapping[str, NDArray[Any]]) -> None:
    """Write the zip of each clip, by its name, into a folder that is created if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in clips.items():
        write_clip(folder / f"{name}.zip", values)


def clip_zip(folder: Path, name: str) -> Path:
    """The zip of a clip, whose name comes from a list of clips and must not lead out of the folder.

    Raises:
        InputError: It is not the name of a file.
    """
    if not name or name.startswith("..") or set(name) & set("/\\\0"):
        raise InputError(f"the clip name {name!r}", where=folder, expected="the name of a file")
    return folder / f"{name}.zip"


def zip_folder(root: Path, kind: str) -> Path:
    """The folder of the zips of a modality, or of another kind of array, in the folder of a data set."""
    return root / "feature" / kind / "zip"


class _DType:
    """Stands for `numpy.dtype` in a pickle: booleans, integers and floats."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[biuf][1248]", self.code) or self.order not in "<>=|":
            raise ValueError(f"values of type '{self.code}'")
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for an array while it is rebuilt, in the old form: made empty, then given its state."""

    values: NDArray[Any]

    def __init__(self, *ignored: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.values = _from_buffer(data, dtype, shape, "F" if fortran else "C").values


class _Function:
    """A function that a pickle may call but, unlike a plain one, not give other attributes."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it changes a function")


def _from_buffer(data: Any, dtype: _DType, shape: tuple[int, ...], order: Any) -> _Array:
    """The new form (pickle protocol 5): from the bytes at once."""
    array = _Array()
    content = data.encode("latin1") if isinstance(data, str) else data  # str: written by Python 2
    array.values = np.frombuffer(content, dtype.resolve()).reshape(shape, order=order)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """How pickle protocols 0 to 2 of Python 3 write bytes."""
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], object] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): None,  # only ever an argument of `_reconstruct`
    ("_codecs", "encode"): _Function(_encode),
} | {
    (f"{package}.{module}", name): stand_in
    for package in ("numpy.core", "numpy._core")  # NumPy 1 and NumPy 2
    for module, name, stand_in in (
        ("multiarray", "_reconstruct", _Array),
        ("numeric", "_frombuffer", _Function(_from_buffer)),
    )
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _KNOWN[module, name]


def _unpickle_array(content: bytes, path: Path) -> NDArray[Any]:
    """The one array of numbers in a pickle of any protocol, by NumPy 1 or NumPy 2.

    Nothing of the pickle is run.

    Raises:
        InputError: It holds anything else, or is damaged; the message names `path`.
    """
    try:
        _check_opcodes(content)
        loaded = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(loaded, _Array):
            raise ValueError(f"it holds a {type(loaded).__name__}")
        return loaded.values
    except Exception as error:  # a hostile or damaged pickle can fail in any way
        raise InputError(
            f"not a plain array of numbers ({error})", where=path, expected="one pickled NumPy array"
        ) from error


def _check_opcodes(content: bytes) -> None:
    """Refuse programs: too many steps, or a memory slot so far off that its table would fill the memory."""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        slot = argument if "PUT" in opcode.name and isinstance(argument, int) else 0
        if max(number, slot) > _MAX_OPCODES:
            raise ValueError("it is a longer program than an array needs")
