"""HDF5 files of one array each, read by rows, and the checks that every reader makes on its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import EllipsisType
from typing import Any, TypeAlias

import h5py
import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from unicode_cmg.errors import InputError

Pattern: TypeAlias = tuple[int | EllipsisType | None, ...]
"""A shape in which None stands for any length but zero, and a last `...` for one or more further axes."""

_SMALL, _MOST_INFLATED = 16 << 20, 100  # bytes that may inflate at will, and how far others may
_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError)  # all that HDF5 raises


@contextmanager
def _dataset(path: Path, key: str) -> Iterator[Any]:
    if not path.is_file():
        raise InputError("no such file", where=path, fix="check the data root")
    with reading_hdf5(path), h5py.File(path, "r") as file:
        if isinstance(file.get(key, getlink=True), h5py.ExternalLink | h5py.SoftLink):
            raise InputError(f"'{key}' is a link", where=path, expected="an array in this file")
        dataset = file.get(key)
        if not isinstance(dataset, h5py.Dataset):
            keys = ", ".join(str(name) for name in file)
            raise InputError(f"no array '{key}' among the keys {keys}", where=path)
        if dataset.dtype.kind not in "biuf":
            raise InputError(f"values of type {dataset.dtype}", where=path, expected="numbers")
        check_stored(dataset, path)
        yield dataset


@contextmanager
def reading_hdf5(path: Path) -> Iterator[None]:
    """What HDF5 raises while a file is read, as an `InputError`."""
    try:
        yield
    except _DAMAGE as error:
        reason = "truncated" if "truncated" in str(error) else "not a readable HDF5 file"
        if isinstance(error, MemoryError):
            reason = f"more than the memory holds ({error})"
        raise InputError(reason, where=path, fix="download or write it again") from error


def check_stored(dataset: Any, path: Path) -> None:
    """Refuse an array whose values lie in other files, or of which only a small part is stored."""
    if dataset.is_virtual or dataset.external:
        raise InputError("the values lie in other files", where=path, expected="an array in this file")
    declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if declared > _SMALL and declared > _MOST_INFLATED * stored:
        what = f"the array {list(dataset.shape)} needs {declared} bytes, and {stored} are stored"
        raise InputError(what, where=path, fix="download or write it again")


def array_shape(path: Path, key: str, expected: Pattern | None = None) -> tuple[int, ...]:
    """The shape of the array, without reading its values.

    Raises:
        InputError: The file is missing, truncated or not HDF5, has no such array, or its shape does not have
            the form `expected`.
    """
    with _dataset(path, key) as dataset:
        if expected is not None:
            check_shape(dataset.shape, expected, where=path)
        return tuple(dataset.shape)


def array_dtype(path: Path, key: str) -> np.dtype[Any]:
    """The type of the values; errors as in `array_shape`."""
    with _dataset(path, key) as dataset:
        dtype: np.dtype[Any] = dataset.dtype
    return dtype


def read_array(path: Path, key: str, expected: Pattern | None = None) -> NDArray[Any]:
    """The whole array, in its own dtype; errors as in `array_shape`."""
    with _dataset(path, key) as dataset:
        if expected is not None:
            check_shape(dataset.shape, expected, where=path)
        return np.asarray(dataset[()])


def read_rows(path: Path, key: str, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows ..."]:
    """Some rows as float32, in the order of `rows`; consecutive rows are read as one block.

    Raises:
        InputError: As in `array_shape`; or a row does not exist.
    """
    with _dataset(path, key) as dataset, np.errstate(over="ignore"):  # readers refuse infinite values
        check_rows(rows, len(dataset), where=path)
        ascending, places = np.unique(rows, return_inverse=True)
        values = np.empty((len(ascending), *dataset.shape[1:]), np.float32)
        done = 0
        for run in np.split(ascending, np.flatnonzero(np.diff(ascending) != 1) + 1):
            if len(run):
                values[done : done + len(run)] = dataset[run[0] : run[-1] + 1]
            done += len(run)
    return values if np.array_equal(ascending, rows) else values[places]


def read_mask(path: Path, key: str, shape: tuple[int, int], *, unit: str) -> Bool[np.ndarray, "rows steps"]:
    """Which steps are valid: all of them if there is no such file. `unit` is what a row is, such as "clip".

    Raises:
        InputError: The mask is damaged or has another shape, or a row has no valid step.
    """
    if not path.is_file():
        return np.ones(shape, dtype=bool)
    mask = read_array(path, key, shape).astype(bool)
    empty = np.flatnonzero(~mask.any(axis=1))
    if len(empty):
        raise InputError(f"{unit} {empty[0]} has no valid word", where=path)
    return mask


def write_array(path: Path, key: str, values: NDArray[Any]) -> None:
    """Write one array, contiguous and without timestamps, so that equal arrays make equal files."""
    with h5py.File(path, "w", locking=False) as file:  # `atomic_file` holds a lock on its scratch file
        file.create_dataset(key, data=values, track_times=False)


def check_rows(rows: NDArray[np.int64], count: int, *, where: object) -> None:
    """Refuse row numbers outside 0..`count` - 1.

    Raises:
        InputError: A row does not exist.
    """
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        raise InputError(f"rows {rows.min()} to {rows.max()}", where=where, expected=f"0 to {count - 1}")


def check_shape(shape: tuple[int, ...], expected: Pattern, *, where: object) -> None:
    """Compare a shape with a pattern.

    Raises:
        InputError: They differ.
    """
    wanted = expected
    if expected[-1] is ...:
        wanted = (*expected[:-1], *[None] * max(len(shape) - len(expected) + 1, 1))
    fits = len(shape) == len(wanted) and all(
        have > 0 and want in (None, have) for have, want in zip(shape, wanted, strict=True)
    )
    if not fits:
        pattern = ", ".join("any" if w is None else "..." if w is ... else str(w) for w in expected)
        raise InputError(f"the array is {list(shape)}", where=where, expected=f"[{pattern}]")


def check_finite(values: NDArray[np.float32], *, where: Path, name: Callable[[int], str]) -> None:
    """Refuse NaN and infinities, and name the first row that has one.

    Args:
        values: `[n, ...]`.
        where: The file they were read from.
        name: From a row of `values` to its name in the message, such as "clip 'a'".

    Raises:
        InputError: A value is not finite.
    """
    if np.isfinite(values.sum(dtype=np.float64)):
        return
    bad: NDArray[Any] = (~np.isfinite(values)).reshape(len(values), -1).sum(1)
    first = int(np.flatnonzero(bad)[0])
    raise InputError(
        f"{int(bad[first])} values are NaN or infinite in {name(first)}",
        where=where,
        expected="finite float32 values",
        fix="extract these features again",
    )
