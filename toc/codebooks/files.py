"""Tensors of NumPy and safetensors files, read with NumPy only; headers first, values on demand.

The library `safetensors` offers no bfloat16 to NumPy, and its other interfaces need torch. The format is
small (https://huggingface.co/docs/safetensors): eight bytes with the length of the header, the header in JSON
with type, shape and position of each tensor, then their bytes.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from jaxtyping import Shaped

from toc.arrays import CodebookError
from toc.records import parse_json

BFLOAT16 = "bfloat16"
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": BFLOAT16,
    **{f"{kind[0].upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "BOOL": "bool",
}
_SMALL, _MOST_INFLATED = 64 << 20, 100  # bytes that may inflate at will, and how far others may
_LONGEST_HEADER = 100_000_000
_DAMAGED = (
    *(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError),
    *(SyntaxError, TokenError, TypeError, OverflowError, MemoryError, RecursionError),  # of a header of NumPy
)


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor of a file: shape and type, and a function that reads its values.

    Attributes:
        shape: Its axes.
        dtype: NumPy's name of the stored type, such as `float64`; or `bfloat16`, which NumPy lacks and
            which is read as float32.
        read: Reads the values; raises `CodebookError` if they cannot become a NumPy array.
        memory: Equal for two tensors of a file that share their values; None where nothing can be shared.
        refused: Why it cannot be refined although it is a codebook; `read` raises this. Empty for any other.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Shaped[np.ndarray, ...]]
    memory: Hashable | None = None
    refused: str = ""

    @property
    def floating(self) -> bool:
        """Whether it holds real numbers, as codes do."""
        return self.dtype.startswith("float") or self.dtype == BFLOAT16

    def matrices(self) -> list[Stored]:
        """The matrices along the first of three axes."""
        return [
            Stored(self.shape[1:], self.dtype, lambda at=at: np.asarray(self.read()[at]))  # type: ignore[misc]
            for at in range(self.shape[0])
        ]


def read_npy(path: Path) -> dict[str, Stored]:
    """The array of an `.npy` file under the name of the file; its values are not read yet.

    Raises:
        CodebookError: The file is not one.
    """
    try:
        with path.open("rb") as file:
            return {path.stem: _npy_header(file, path, None, path.stat().st_size)}
    except _DAMAGED as error:
        raise _no_numpy_file(path, error) from None


def read_npz(path: Path) -> dict[str, Stored]:
    """The arrays of an `.npz` file; only their headers are read.

    Raises:
        CodebookError: The file is not one.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name != info.filename:
                    if info.file_size > _SMALL and info.file_size > _MOST_INFLATED * info.compress_size:
                        raise ValueError(f"'{name}' inflates to {info.file_size} bytes")
                    with archive.open(info) as file:
                        found[name] = _npy_header(file, path, name, info.file_size)
    except _DAMAGED as error:
        raise _no_numpy_file(path, error) from None
    return found


def _npy_header(file: Any, path: Path, name: str | None, size: int) -> Stored:
    # Versions 2 and 3 differ in the encoding of field names, and codes have no fields.
    old = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array {list(shape)} of {dtype} in {size} bytes")
    return Stored(tuple(shape), dtype.name, partial(_npy_values, path, name, dtype))


def _npy_values(path: Path, name: str | None, dtype: np.dtype[Any]) -> Shaped[np.ndarray, ...]:
    if dtype.hasobject:
        where = path if name is None else f"{path} ({name})"
        raise CodebookError(f"{where}: the array holds pickled objects; expected floats [codes, dimensions]")
    try:
        loaded = np.load(path, allow_pickle=False)
        if name is None:
            return np.asarray(loaded)
        with loaded:
            return np.asarray(loaded[name])
    except _DAMAGED as error:
        raise _no_numpy_file(path, error) from None


def _no_numpy_file(path: Path, error: Exception) -> CodebookError:
    return CodebookError(f"{path}: cannot be read as a NumPy file ({error}); it may have been truncated")


def read_safetensors(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file; only its header is read.

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
    for name, (dtype, shape, begin, end) in entries.items():
        if not 0 <= begin <= end <= size - start:
            raise _damaged(path, f"it ends before the tensor '{name}' does")
        if dtype in _TYPES.values() and (
            min(shape, default=0) < 0 or end - begin != math.prod(shape) * _stored_type(dtype).itemsize
        ):
            raise _damaged(path, f"the tensor '{name}' has not the bytes that its shape needs")
        found[name] = Stored(shape, dtype, partial(_tensor_values, path, name, dtype, shape, start + begin))
    return found


def _entries(header: bytes, path: Path) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
    """The type and the shape of each tensor, and the first and the last place of its bytes in the data."""
    try:
        entries = {}
        for name, entry in parse_json(header).items():
            if name != "__metadata__":
                begin, end = map(int, entry["data_offsets"])
                dtype = str(entry["dtype"])
                entries[name] = (_TYPES.get(dtype, dtype), tuple(map(int, entry["shape"])), begin, end)
        return entries
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(path, "its header cannot be read") from None


def _stored_type(dtype: str) -> np.dtype[np.generic]:
    return np.dtype(np.uint16 if dtype == BFLOAT16 else dtype).newbyteorder("<")


def _tensor_values(
    path: Path, name: str, dtype: str, shape: tuple[int, ...], place: int
) -> Shaped[np.ndarray, ...]:
    if dtype not in _TYPES.values():
        raise CodebookError(
            f"{path} ({name}): the tensor has dtype {dtype}; expected float64, float32, float16 or bfloat16"
        )
    count = math.prod(shape)
    values = np.fromfile(path, _stored_type(dtype), count=count, offset=place)
    if values.size < count:
        raise _damaged(path, f"it ends before the tensor '{name}' does")
    return widened(values.reshape(shape), dtype)


def widened(bits: Shaped[np.ndarray, ...], dtype: str) -> Shaped[np.ndarray, ...]:
    """The values of a tensor; the bits of bfloat16, which are the upper half of float32, become float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32) if dtype == BFLOAT16 else bits


def _damaged(path: Path, why: str) -> CodebookError:
    return CodebookError(f"{path}: not a whole safetensors file, {why}; it may have been truncated")
