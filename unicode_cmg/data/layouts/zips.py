"""One zip a clip with a pickled array inside: how the AVVP, UCF and VGGSound features are published.

A pickle can run any program and NumPy's own `__setstate__` trusts its input, so neither is used: the
unpickler knows a few names, and each stands for a small class or function of this file.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from unicode_cmg.data.layouts._checks import check_finite
from unicode_cmg.errors import InputError

_MAX_BYTES = 1 << 30  # a clip of 10x7x7x512 in float64 is 2 MB; a file that unpacks to far more is no clip
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # equal clips make equal files


def read_clip(path: Path) -> Float32[np.ndarray, "time ..."]:
    """Features `[T, ...]` of one clip; of several `.pkl` members the last one counts, as published.

    Raises:
        InputError: The file is missing, truncated, no zip, holds no pickled array of numbers or anything else
            besides one, or a value is not finite.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if ".pkl" in info.filename]
            if not members:
                raise InputError("no .pkl member in this zip", where=path)
            if members[-1].file_size > _MAX_BYTES:
                raise InputError(
                    f"{members[-1].file_size} bytes unpacked", where=path, expected="one clip's features"
                )
            content = archive.read(members[-1])
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the data root, or drop the clip") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"not a readable zip ({error})", where=path, fix="download it again") from error
    values = _unpickle(content, path).astype(np.float32)
    if values.ndim < 2 or 0 in values.shape:
        raise InputError(f"the array is {list(values.shape)}", where=path, expected="[time, ...]")
    check_finite(values[None], where=path, clip=lambda _: path.stem)
    return values


def read_clips(paths: Sequence[Path], steps: int) -> Float32[np.ndarray, "clips steps ..."]:
    """Several clips, each cut to its first `steps` rows or padded with copies of its last one.

    Raises:
        InputError: As `read_clip`; or there is no clip, or its dimensions differ from the first one's.
    """
    if not paths:
        raise InputError("no clip to read", where="features", expected="at least one row")
    clips: list[NDArray[np.float32]] = []
    for path in paths:
        values = read_clip(path)
        if clips and values.shape[1:] != clips[0].shape[1:]:
            raise InputError(
                f"features of {list(values.shape[1:])} a step",
                where=path,
                expected=f"{list(clips[0].shape[1:])}",
            )
        clips.append(values[np.minimum(np.arange(steps), len(values) - 1)])
    return np.stack(clips)


def write_clip(path: Path, values: NDArray[Any]) -> None:
    """Write features `[T, ...]` as `<stem>.pkl` in a zip, pickled so that NumPy 1 and NumPy 2 can load it."""
    content = pickle.dumps(np.ascontiguousarray(values), protocol=3)
    content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray", 1)
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(f"{path.stem}.pkl", _FIXED_TIME)
        archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=1)


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


def _from_buffer(data: Any, dtype: _DType, shape: tuple[int, ...], order: Any) -> _Array:
    """The new form (pickle protocol 5): from the bytes at once."""
    array = _Array()
    content = data.encode("latin1") if isinstance(data, str) else data  # str: written by Python 2
    array.values = np.frombuffer(content, dtype.resolve()).reshape(shape, order=order)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """How pickle protocols 0 to 2 of Python 3 write bytes."""
    return text.encode("latin1")


_KNOWN = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): None,  # only ever an argument of `_reconstruct`
    ("_codecs", "encode"): _encode,
} | {
    (f"{package}.{module}", name): stand_in
    for package in ("numpy.core", "numpy._core")  # NumPy 1 and NumPy 2
    for module, name, stand_in in (
        ("multiarray", "_reconstruct", _Array),
        ("numeric", "_frombuffer", _from_buffer),
    )
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _KNOWN[module, name]


def _unpickle(content: bytes, path: Path) -> NDArray[Any]:
    try:
        loaded = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(loaded, _Array):
            raise ValueError(f"it holds a {type(loaded).__name__}")
        return loaded.values
    except Exception as error:  # a hostile or damaged pickle can fail in any way
        raise InputError(
            f"not a plain array of numbers ({error})", where=path, expected="one pickled NumPy array"
        ) from error
