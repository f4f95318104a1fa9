"""HDF5 files of one array each, read by rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from unicode_cmg.errors import InputError

_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError)  # all that HDF5 raises


@contextmanager
def _dataset(path: Path, key: str) -> Iterator[Any]:
    if not path.is_file():
        raise InputError("no such file", where=path, fix="check the data root")
    try:
        with h5py.File(path, "r") as file:
            dataset = file.get(key)
            if not isinstance(dataset, h5py.Dataset):
                keys = ", ".join(str(name) for name in file)
                raise InputError(f"no array '{key}' in this file", where=path, expected=f"keys {keys}")
            if dataset.dtype.kind not in "biuf":
                raise InputError(f"values of type {dataset.dtype}", where=path, expected="numbers")
            yield dataset
    except _DAMAGE as error:
        reason = "truncated" if "truncated" in str(error) else "not a readable HDF5 file"
        if isinstance(error, MemoryError):
            reason = f"more than the memory holds ({error})"
        raise InputError(reason, where=path, fix="download or write it again") from error


def array_shape(path: Path, key: str) -> tuple[int, ...]:
    """Shape of the array, without reading it.

    Raises:
        InputError: The file is missing, truncated or not HDF5, or has no such array.
    """
    with _dataset(path, key) as dataset:
        return tuple(dataset.shape)


def array_dtype(path: Path, key: str) -> np.dtype[Any]:
    """Type of its values; errors as `array_shape`."""
    with _dataset(path, key) as dataset:
        found: np.dtype[Any] = dataset.dtype
    return found


def read_array(path: Path, key: str) -> NDArray[Any]:
    """The whole array, in its own dtype; errors as `array_shape`."""
    with _dataset(path, key) as dataset:
        return np.asarray(dataset[()])


def read_rows(path: Path, key: str, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows ..."]:
    """Some rows as float32, in the order asked for; consecutive rows are read as one block.

    Raises:
        InputError: As `array_shape`; or a row does not exist.
    """
    with _dataset(path, key) as dataset, np.errstate(over="ignore"):  # readers refuse what is infinite
        if rows.size and (rows.min() < 0 or rows.max() >= len(dataset)):
            raise InputError(
                f"rows {rows.min()} to {rows.max()}", where=path, expected=f"0 to {len(dataset) - 1}"
            )
        ascending, places = np.unique(rows, return_inverse=True)
        values = np.empty((len(ascending), *dataset.shape[1:]), np.float32)
        done = 0
        for run in np.split(ascending, np.flatnonzero(np.diff(ascending) != 1) + 1):
            if len(run):
                values[done : done + len(run)] = dataset[run[0] : run[-1] + 1]
            done += len(run)
    return values if np.array_equal(ascending, rows) else values[places]


def write_array(path: Path, key: str, values: NDArray[Any]) -> None:
    """Write one array, contiguous and without timestamps, so that equal arrays make equal files."""
    with h5py.File(path, "w") as file:
        file.create_dataset(key, data=values, track_times=False)
