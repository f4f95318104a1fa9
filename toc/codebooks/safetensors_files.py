"""Safetensors files, read with NumPy alone.

The library `safetensors` gives NumPy no bfloat16, and its other sides need torch. The format is small
(https://huggingface.co/docs/safetensors): eight bytes with the length of the header, the header in JSON with
type, shape and place of each tensor, then their bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from toc.codebooks.stored import BFLOAT16, Stored, widened
from toc.errors import CodebookError

_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": BFLOAT16,
    **{f"{kind[0].upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "BOOL": "bool",
}
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class _Entry:
    """What the header says of a tensor; its bytes are those from `begin` to `end` of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file, of which only the header is read.

    Raises:
        CodebookError: The file is not one, or is truncated.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            start = 8 + int.from_bytes(file.read(8), "little")
            if size < 8 or start > min(size, _LONGEST_HEADER):
                raise _damaged(path, "its header is longer than the file")
            entries = _entries(file.read(start - 8), path)
    except OSError as error:
        raise CodebookError(f"{path}: cannot be read ({error.strerror})") from None
    found = {}
    for name, entry in entries.items():
        if not 0 <= entry.begin <= entry.end <= size - start:
            raise _damaged(path, f"it ends before the tensor '{name}' does")
        if entry.dtype in _TYPES.values() and (
            min(entry.shape, default=0) < 0
            or entry.end - entry.begin != math.prod(entry.shape) * _stored_type(entry.dtype).itemsize
        ):
            raise _damaged(path, f"the tensor '{name}' has not the bytes that its shape needs")
        values = partial(_values, path, name, entry, start + entry.begin)
        found[name] = Stored(entry.shape, entry.dtype, values)
    return found


def _entries(header: bytes, path: Path) -> dict[str, _Entry]:
    try:
        entries = {}
        for name, entry in json.loads(header).items():
            if name != "__metadata__":
                begin, end = map(int, entry["data_offsets"])
                dtype = str(entry["dtype"])
                entries[name] = _Entry(_TYPES.get(dtype, dtype), tuple(map(int, entry["shape"])), begin, end)
        return entries
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(path, "its header cannot be read") from None


def _stored_type(dtype: str) -> np.dtype[np.generic]:
    return np.dtype(np.uint16 if dtype == BFLOAT16 else dtype).newbyteorder("<")


def _values(path: Path, name: str, entry: _Entry, place: int) -> Shaped[np.ndarray, ...]:
    if entry.dtype not in _TYPES.values():
        raise CodebookError(
            f"{path} ({name}): the tensor has dtype {entry.dtype}; expected float64, float32, float16"
            " or bfloat16"
        )
    count = math.prod(entry.shape)
    values = np.fromfile(path, _stored_type(entry.dtype), count=count, offset=place)
    if values.size < count:
        raise _damaged(path, f"it ends before the tensor '{name}' does")
    values = values.reshape(entry.shape)
    return widened(values) if entry.dtype == BFLOAT16 else values


def _damaged(path: Path, why: str) -> CodebookError:
    return CodebookError(f"{path}: not a whole safetensors file, {why}; it may have been truncated")
