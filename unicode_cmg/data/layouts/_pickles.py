"""Pickled NumPy arrays, read without trusting the pickle.

A pickle can run any program and NumPy's own `__setstate__` trusts its input, so neither is used: the
unpickler knows a few names, and each stands for a small class of this file, which a pickle cannot change.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.errors import InputError

_MAX_OPCODES = 200  # an array takes some 40, whatever its size; more would only serve to use up the memory


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


def unpickle_array(content: bytes, path: Path) -> NDArray[Any]:
    """The one array of numbers in a pickle of any protocol, by NumPy 1 or NumPy 2.

    Raises:
        InputError: It holds anything else, or is damaged; `path` is named as the place. Nothing of it is run.
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
