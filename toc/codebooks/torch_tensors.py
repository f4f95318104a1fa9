"""Tensors as files of torch describe them: a storage in the file, and axes over it. torch is not needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from toc.arrays import CodebookError
from toc.codebooks.files import BFLOAT16, Stored, widened
from toc.codebooks.inert import Inert, Maker, Name, PickleError

_PLAIN = (
    *("float64", "float32", "float16", BFLOAT16, "int64", "int32", "int16", "int8"),
    *("uint64", "uint32", "uint16", "uint8", "bool", "complex64", "complex128"),
)
_NAMES = {
    **{"double": "float64", "float": "float32", "half": "float16", "cfloat": "complex64"},
    **{"long": "int64", "int": "int32", "short": "int16", "char": "int8", "byte": "uint8"},
    **{"untyped": "uint8", "complexfloat": "complex64", "complexdouble": "complex128"},
}


class Source:
    """A file, or bytes within a file, that holds storages.

    Attributes:
        path: The file.
        content: The bytes; None for the file itself.
        order: Byte order of the numbers, `<` or `>`.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path, self.content = path, content
        self.order: Literal["<", ">"] = "<"

    def read(self, begin: int, count: int) -> bytes:
        """Some bytes.

        Raises:
            CodebookError: They are not there.
        """
        try:
            if self.content is not None:
                found = self.content[begin : begin + count]
            else:
                with self.path.open("rb") as file:
                    file.seek(begin)
                    found = file.read(count)
        except OSError as error:
            raise CodebookError(f"{self.path}: cannot be read ({error.strerror})") from None
        if len(found) < count:
            raise CodebookError(f"{self.path}: it ends too early; it may have been truncated")
        return found


@dataclass(eq=False)
class Storage:
    """The values behind tensors.

    Attributes:
        source: Where its bytes are.
        kind: NumPy's name of the type of its values, `bfloat16`, or a name that NumPy does not know.
        begin: Place of its first byte.
        nbytes: How many bytes there are; 0 until the whole file has been gone through.
    """

    source: Source
    kind: str
    begin: int = 0
    nbytes: int = 0


@dataclass(eq=False)
class FileTensor:
    """A tensor of the file, not read yet.

    Attributes:
        storage: Where its values are.
        kind: Type of its values, in the terms of `Storage.kind`.
        offset: Position of its first value in the storage.
        shape: Its axes.
        strides: Steps between the values of an axis.
        odd: What kind of tensor it is if not a dense one, such as `sparse`.
    """

    storage: Storage
    kind: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    odd: str = ""

    def bits(self) -> Shaped[np.ndarray, ...]:
        """Its values as stored, in the byte order of this machine; bfloat16 as its bits, uint16.

        Raises:
            CodebookError: They are not all there, or have no plain type.
        """
        source = self.storage.source
        if self.odd or self.kind not in _PLAIN:
            raise CodebookError(
                f"{source.path}: a {self.odd or 'strange'} tensor of {self.kind}; expected a dense one of"
                " float64, float32, float16 or bfloat16"
            )
        dtype = np.dtype(np.uint16 if self.kind == BFLOAT16 else self.kind)
        needed, held = math.prod(self.shape), self.storage.nbytes // dtype.itemsize
        if needed == 0:
            return np.empty(self.shape, dtype)
        span = 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.strides, 0) < 0 or self.offset + span > held or needed > held:
            raise CodebookError(
                f"{source.path}: a tensor of shape {list(self.shape)} needs more values than are stored"
            )
        begin = self.storage.begin + self.offset * dtype.itemsize
        flat = np.frombuffer(source.read(begin, span * dtype.itemsize), dtype.newbyteorder(source.order))
        steps = tuple(step * dtype.itemsize for step in self.strides)
        return np.array(np.lib.stride_tricks.as_strided(flat, self.shape, steps), dtype)

    def stored(self) -> Stored:
        """The same as a `Stored` one."""
        whole = not self.odd and math.prod(self.shape) > 0
        memory = (id(self.storage), self.offset, self.shape, self.strides, self.kind) if whole else None
        return Stored(self.shape, self.kind, lambda: widened(self.bits(), self.kind), memory)


def plain_type(name: str) -> str:
    """The type behind a name of torch, such as `FloatStorage` or `float`, in the terms of `Storage.kind`."""
    short = name.removesuffix("Storage").lower()
    return _NAMES.get(short, short)


def width(kind: str) -> int:
    """Bytes of one value; 1 for a type that is not known."""
    if kind == BFLOAT16:
        return 2
    return np.dtype(kind).itemsize if kind in _PLAIN else 1


def makers() -> dict[str, Maker]:
    """Functions of ours in place of those of torch that rebuild tensors."""
    return {
        **{f"torch._utils._rebuild_tensor{version}": _tensor for version in ("", "_v2", "_v3")},
        "torch._utils._rebuild_parameter": _first,
        "torch._utils._rebuild_parameter_with_state": _first,
        "torch._utils._rebuild_device_tensor_from_numpy": _first,
        "torch._utils._rebuild_sparse_tensor": _sparse,
        "torch._utils._rebuild_qtensor": _quantized,
        "torch._utils._rebuild_meta_tensor_no_storage": _meta,
        "torch._tensor._rebuild_from_type_v2": _of_subclass,
    }


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> FileTensor:
    if isinstance(storage, tuple) and len(storage) == 2:  # a part of a storage, in files of before 2018
        storage, offset = storage[0], storage[1] + offset
    axes = len(whole(shape))
    if not isinstance(storage, Storage) or not isinstance(offset, int) or axes != len(whole(strides)):
        raise PickleError("a tensor without a storage")
    kind = next(
        (part.name for part in rest if isinstance(part, Name) and part.module == "torch"), storage.kind
    )
    return FileTensor(storage, plain_type(kind), offset, tuple(whole(shape)), tuple(whole(strides)))


def _sparse(layout: Any, parts: Any, *_: Any) -> Any:
    """A sparse tensor, from indices, values and its shape."""
    values = [part for part in parts if isinstance(part, FileTensor)]
    shape = next((part for part in parts if isinstance(part, tuple) and len(whole(part)) == len(part)), ())
    if not values:
        return Inert("sparse tensor", (layout, parts))
    return FileTensor(values[-1].storage, values[-1].kind, 0, shape, (0,) * len(shape), "sparse")


def _quantized(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> FileTensor:
    return replace(_tensor(storage, offset, shape, strides), odd="quantized")


def _meta(kind: Any, shape: Any, *_: Any) -> FileTensor:
    name, axes = kind.name if isinstance(kind, Name) else "unknown", tuple(whole(shape))
    return FileTensor(Storage(Source(Path()), name), name, 0, axes, (0,) * len(axes), "meta")


def _first(value: Any, *_: Any) -> Any:
    return value


def _of_subclass(function: Any, _: Any, args: Any, *__: Any) -> Any:
    """A tensor of a class of the user's: as the plain tensor that it was made from."""
    maker = makers().get(str(function))
    return Inert(str(function), (args,)) if maker is None else maker(*args)


def whole(values: Any) -> list[int]:
    """The whole numbers of a tuple or list; none of anything else."""
    if not isinstance(values, (tuple, list)):
        return []
    return [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
