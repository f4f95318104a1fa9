"""What stands for the objects of a pickle: records that are filled in, never objects of other classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Maker = Callable[..., Any]
_LONGEST_KEY = 16


class PickleError(ValueError):
    """Bytes are not a whole pickle, or ask for something that has no place in a file of tensors."""


class Name(NamedTuple):
    """A class or function that a pickle names; it is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Inert:
    """What stands for an object that was not created.

    Attributes:
        kind: The class or function that would have made it.
        args: What it would have been called with.
        state: What would have been its attributes; None if it has no state.
        items: What would have been put into it, if it is a container: values, or pairs of key and value.
    """

    kind: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)

    def attributes(self) -> dict[Any, Any]:
        """Its attributes by their names; those of a `torch.nn.Module` without `_parameters` and the like."""
        states = self.state if isinstance(self.state, tuple) else (self.state,)
        found = {key: value for state in states if isinstance(state, dict) for key, value in state.items()}
        for part in ("_parameters", "_buffers", "_modules"):
            if isinstance(found.get(part), dict):
                found |= found.pop(part)
        return found

    def elements(self) -> Iterator[tuple[Any, Any]]:
        """Its items with their keys, or with their positions."""
        for position, item in enumerate(self.items):
            yield item if isinstance(item, Pair) else (position, item)


class Pair(NamedTuple):
    """An item of a dictionary that was not created."""

    key: Any
    value: Any


@dataclass(eq=False)
class PickledArray:
    """A NumPy array of a pickle.

    Attributes:
        dtype: Type of its values, in the byte order of the file; None while the type is not a plain one.
        shape: Its axes.
        data: The bytes of its values.
        fortran: Whether the first axis varies fastest.
    """

    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] = ()
    data: bytes = b""
    fortran: bool = False


@dataclass(eq=False)
class DType:
    """Stands for `numpy.dtype`: `dtype("f4", False, True)`, whose state tells the byte order."""

    code: str
    order: str = "="

    def plain(self) -> np.dtype[Any] | None:
        """The type itself if it is one of plain numbers, or of texts of one length."""
        known = re.fullmatch(r"[biufc](1|2|4|8|16)|U[0-9]{1,5}", self.code)
        if not known or self.order not in ("<", ">", "=", "|"):
            return None
        try:
            return np.dtype(self.order + self.code)
        except TypeError:
            return None


def extend(target: Any, values: list[Any]) -> None:
    """Append values to a list, or to the record of one."""
    if isinstance(target, Inert):
        target.items += values
    elif isinstance(target, list):
        target += values
    else:
        raise PickleError("it appends to a value that is no list")


def put(target: Any, flat: list[Any]) -> None:
    """Set items, given as key, value, key, value, ..., of a dictionary or of the record of one."""
    if len(flat) % 2:
        raise PickleError("a key has no value")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        if isinstance(target, Inert):
            target.items.append(Pair(_key(key), value))
        elif isinstance(target, dict):
            target[_key(key)] = value
        else:
            raise PickleError("it sets an item of a value that is no dictionary")


def _key(value: Any) -> Any:
    """A key that is hashed in no time; nested tuples of tuples can take for ever."""
    if isinstance(value, tuple) and not isinstance(value, Name):
        short = len(value) <= _LONGEST_KEY and all(_simple(part) for part in value)
        return value if short else Inert("tuple")
    return value if _simple(value) or isinstance(value, Inert) else Inert(type(value).__name__)


def _simple(value: Any) -> bool:
    if isinstance(value, int):
        return value.bit_length() <= 64
    return value is None or isinstance(value, (str, bytes, float, Name))


"""Full name of a class or function -> what is called in its place."""


def _dictionary(*args: Any) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for pairs in args:
        if isinstance(pairs, dict):
            made |= pairs
        elif isinstance(pairs, (list, tuple)):
            put(made, [part for pair in pairs if isinstance(pair, (list, tuple)) for part in pair[:2]])
    return made


def _listed(*args: Any) -> list[Any]:
    return list(args[0]) if args and isinstance(args[0], (list, tuple)) else []


def _dtype(*args: Any) -> DType:
    return DType(args[0] if args and isinstance(args[0], str) else "O")


def _encoded(*args: Any) -> bytes:
    """How protocols 0 to 2 of Python 3 write bytes: `_codecs.encode(text, "latin1")`."""
    return args[0].encode("latin1") if args and isinstance(args[0], str) else b""


def _reconstructed(*_: Any) -> PickledArray:
    """The old form of an array: made empty, then given its state."""
    return PickledArray()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any = "C") -> PickledArray:
    """The new form of an array, of protocol 5: from the bytes at once."""
    content = bytes(data) if isinstance(data, (bytes, bytearray)) else b""
    return PickledArray(kind.plain() if isinstance(kind, DType) else None, shape, content, order == "F")


def _scalar(kind: Any, data: Any = b"") -> Any:
    """A number of NumPy, as a Python number."""
    content = data.encode("latin1") if isinstance(data, str) else data
    dtype = kind.plain() if isinstance(kind, DType) else None
    if dtype is None or not isinstance(content, bytes) or len(content) != dtype.itemsize:
        return Inert("numpy scalar")
    return np.frombuffer(content, dtype)[0].item()


MAKERS: dict[str, Maker] = {
    **dict.fromkeys(("collections.OrderedDict", "builtins.dict", "__builtin__.dict"), _dictionary),
    "collections.defaultdict": lambda *_: {},
    **{f"{where}.{kind}": _listed for where in ("builtins", "__builtin__") for kind in ("list", "set")},
    "torch.Size": lambda *args: tuple(_listed(*args)),
    "_codecs.encode": _encoded,
    "builtins.bytearray": lambda *args: args[0] if args and isinstance(args[0], bytes) else b"",
    "numpy.dtype": _dtype,
    **{
        f"numpy.{core}.{name}": maker
        for core in ("core", "_core")  # NumPy 1 and NumPy 2
        for name, maker in (
            ("multiarray._reconstruct", _reconstructed),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}
"""Full name of a class or function -> what is called in its place."""
