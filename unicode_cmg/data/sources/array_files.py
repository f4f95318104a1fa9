"""Files of arrays: npy, npz, HDF5, safetensors, files of torch, pickles, and tables of numbers.

Each is listed as keys and arrays; only headers are read until a value is asked for.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.layouts.arrays import check_stored, reading_hdf5
from unicode_cmg.data.layouts.zips import read_clip
from unicode_cmg.data.sources.pickles import object_arrays, pickled_arrays, safetensors_arrays
from unicode_cmg.data.sources.source import Array
from unicode_cmg.errors import InputError

Arrays = Mapping[tuple[str, ...], Array]


def is_array_file(file: Path, *, tables: bool = False) -> bool:
    """Whether a file may hold arrays, by its name; `tables` are csv and txt files of numbers."""
    suffix = file.suffix.lower()
    return not file.name.startswith(".") and suffix in _READERS and (tables or suffix not in TABLES)


def read_arrays(file: Path) -> Arrays:
    """The keys and arrays of a file; a file with a single array has the key ().

    Raises:
        InputError: It is damaged, or holds objects that are not arrays, numbers, texts or containers of them.
    """
    return _READERS[file.suffix.lower()](file)


class NpyFile(Array):
    """The array of a .npy file, mapped anew for each reading, so that many files can be listed."""

    shape = property(lambda self: tuple(self._mapped().shape))
    dtype = property(lambda self: self._mapped().dtype)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return np.asarray(self._mapped()[rows])

    def whole(self) -> NDArray[Any]:
        return np.asarray(self._mapped())

    def _mapped(self) -> NDArray[Any]:
        with _damage(self._path, ".npy"):
            values: NDArray[Any] = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return values


def _npy(path: Path) -> Arrays:
    with _damage(path, ".npy"), path.open("rb") as file:
        if _header(file)[2].hasobject:
            return object_arrays(path, "", file.read())
    return {(): NpyFile(path)}


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return shape, fortran, dtype


def _npz(path: Path) -> Arrays:
    found: dict[tuple[str, ...], Array] = {}
    with _damage(path, "npz"), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith(".npy"):
                continue
            key = name.removesuffix(".npy")
            with archive.open(name) as stream:
                shape, fortran, dtype = _header(stream)
                if dtype.hasobject:
                    objects = object_arrays(path, key, stream.read())
                    found |= {(key, *keys): array for keys, array in objects.items()}
                else:
                    found[(key,)] = NpzArray(path, name, shape, fortran, dtype)
    return found


class NpzArray(Array):
    """An array of an npz file, read from its beginning to its end a few rows at a time."""

    def __init__(
        self, path: Path, name: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
    ) -> None:
        self._path, self._name, self._where = path, name, f"{path}: '{name.removesuffix('.npy')}'"
        self.shape, self.dtype, self._fortran = shape, dtype, fortran
        self._stream: Any = None
        self._row = 0

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        if self._fortran or self.dtype.kind not in "biufU":
            values: NDArray[Any] = _npz_values(self._path, self._name, self._path.stat().st_mtime_ns)[rows]
            return values
        with _damage(self._path, "npz"):
            if self._stream is None or start != self._row:
                self._stream = self._rows(start)
            self._row = stop
            next(self._stream)
            content = self._stream.send(stop - start)
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[1:])

    def whole(self) -> NDArray[Any]:
        values: NDArray[Any] = _npz_values.__wrapped__(self._path, self._name, 0)
        return values

    def _rows(self, start: int) -> Iterator[Any]:
        row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        with zipfile.ZipFile(self._path) as archive, archive.open(self._name) as stream:
            _header(stream)
            stream.seek(start * row, 1)
            while True:
                count: Any = yield b""
                content = stream.read(count * row)
                if len(content) != count * row:
                    raise InputError("it is truncated", where=self._where)
                yield content


@lru_cache(maxsize=4)
def _npz_values(path: Path, name: str, _: int) -> NDArray[Any]:
    """All values of an array of an npz file, which stay in memory where they cannot be read row by row."""
    with _damage(path, "npz"), _archive(path, path.stat().st_mtime_ns).open(name) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


@lru_cache(maxsize=2)
def _archive(path: Path, _: int) -> zipfile.ZipFile:
    """An open zip: a file with an array for each of many clips has a long table of contents."""
    return zipfile.ZipFile(path)


def _hdf5(path: Path) -> Arrays:
    found: dict[tuple[str, ...], Array] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            check_stored(item, path)
            found[tuple(name.split("/"))] = Hdf5Array(path, name, item)

    with reading_hdf5(path), h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


class Hdf5Array(Array):
    """An array of numbers or texts of an HDF5 file, which is open while it is read."""

    def __init__(self, path: Path, name: str, values: h5py.Dataset) -> None:
        self._path, self._name = path, name
        self._texts = h5py.check_string_dtype(values.dtype) is not None
        self.shape, self.dtype = values.shape, np.dtype(object) if self._texts else values.dtype

    def __getitem__(self, rows: slice) -> Any:
        return self._read(rows)

    def whole(self) -> Any:
        return self._read(())

    def _read(self, rows: Any) -> Any:
        with reading_hdf5(self._path), h5py.File(self._path, "r") as file:
            values = file[self._name]
            return values.asstr()[rows] if self._texts else values[rows]


class PublishedClip(Array):
    """The array of a zip as in the published data sets."""

    shape = property(lambda self: tuple(self.whole().shape))
    dtype = np.dtype(np.float32)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, rows: slice) -> Any:
        return self.whole()[rows]

    def whole(self) -> Any:
        return read_clip(self._path)


class NumberTable(PublishedClip):
    """Numbers of a csv or txt file, a line for each step, with or without a line of names."""

    def whole(self) -> Any:
        with _damage(self._path, "table of numbers"), self._path.open(encoding="utf-8-sig") as file:
            first = file.readline()
            separator = next((mark for mark in ",;\t" if mark in first), None)
            named = not all(_is_number(value) for value in first.split(separator))
            rest = io.StringIO(("" if named else first) + file.read())
            values = np.loadtxt(rest, np.float32, delimiter=separator, ndmin=2)
        if not values.size:
            raise InputError("no line of numbers", where=self._path)
        return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@contextmanager
def _damage(path: Path, kind: str) -> Iterator[None]:
    """Turn what a damaged file does into one line."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the path") from None
    except Exception as error:  # a damaged zip or HDF5 file can fail in any way
        raise InputError(f"not a readable {kind} file ({error})", where=path, fix="write it again") from None


TABLES = (".csv", ".tsv", ".txt")
_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npy": _npy,
    ".npz": _npz,
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5"), _hdf5),
    **dict.fromkeys((".pt", ".pth", ".pkl", ".pickle"), pickled_arrays),
    ".safetensors": safetensors_arrays,
    ".zip": lambda path: {(): PublishedClip(path)},
    **dict.fromkeys(TABLES, lambda path: {(): NumberTable(path)}),
}
