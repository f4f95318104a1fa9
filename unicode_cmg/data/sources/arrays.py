"""Arrays of all clips in one file or folder: npz, HDF5, or one .npy for each modality."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.layouts.arrays import check_stored, reading_hdf5
from unicode_cmg.data.sources.source import LazyClips, Source, Wanted, from_keys, take_modalities
from unicode_cmg.data.store.part import IDS as IDS_FILE
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text

HDF5 = (".h5", ".hdf5", ".hdf", ".he5")

_PICKLED = "it holds Python objects, which are pickles and are not read; save plain arrays of numbers or text"


def read_npz(path: Path, wanted: Wanted) -> Source:
    """An npz file, one array for each modality.

    Raises:
        InputError: It is damaged or holds Python objects, or its arrays do not fit each other.
    """
    return from_keys(Source("an npz file", path, 0), npz_arrays(path), wanted)


def npz_arrays(path: Path) -> dict[str, NpzArray]:
    """The arrays of an npz file, of which only the headers are read.

    Raises:
        InputError: It is damaged or holds Python objects.
    """
    with _damage(path, "npz"), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    return {name.removesuffix(".npy"): NpzArray(path, name) for name in names}


class NpzArray:
    """An array of an npz file, read from its beginning to its end a few rows at a time."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name, self._where = path, name, f"{path}: '{name.removesuffix('.npy')}'"
        with self._opened() as (_, shape, fortran, dtype):
            self.shape, self.dtype, self._fortran = shape, dtype, fortran
        self._stream: Any = None
        self._row = 0
        self._whole: NDArray[Any] | None = None

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(len(self))
        if self._fortran or self.dtype.kind not in "biufU":
            if self._whole is None:
                with _damage(self._path, "npz"), np.load(self._path, allow_pickle=False) as file:
                    self._whole = file[self._name.removesuffix(".npy")]
            return self._whole[rows]
        with _damage(self._path, "npz"):
            if self._stream is None or start != self._row:
                self._stream = self._rows(start)
            self._row = stop
            next(self._stream)
            content = self._stream.send(stop - start)
        values = np.frombuffer(content, self.dtype)
        return values.reshape(stop - start, *self.shape[1:])

    def _rows(self, start: int) -> Iterator[Any]:
        row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        with self._opened() as (stream, *_):
            stream.seek(start * row, 1)
            while True:
                count: Any = yield b""
                content = stream.read(count * row)
                if len(content) != count * row:
                    raise InputError("it is truncated", where=self._where)
                yield content

    @contextmanager
    def _opened(self) -> Iterator[tuple[BinaryIO, tuple[int, ...], bool, np.dtype[Any]]]:
        with (
            _damage(self._path, "npz"),
            zipfile.ZipFile(self._path) as archive,
            archive.open(self._name) as stream,
        ):
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream)
            if dtype.hasobject:
                raise InputError(_PICKLED, where=self._where)
            yield stream, shape, fortran, dtype  # type: ignore[misc]


def read_hdf5(path: Path, wanted: Wanted) -> Source:
    """An HDF5 file: an array for each modality; or a group for each modality with an array for each clip, or
    a group for each clip with an array for each modality.

    Raises:
        InputError: It is damaged, or its arrays do not fit each other.
    """
    with reading_hdf5(path):
        file = h5py.File(path, "r")
        arrays: dict[str, Any] = {}
        groups: dict[str, dict[str, Any]] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                check_stored(item, path)
                arrays[name] = found = _Dataset(path, item)
                if "/" in name:
                    group, _, leaf = name.rpartition("/")
                    groups.setdefault(group, {})[leaf] = found

        file.visititems(visit)
    source = Source("an HDF5 file", path, 0)
    grouped = {g: leaves for g, leaves in groups.items() if all(len(a.shape) >= 1 for a in leaves.values())}
    leaves = {leaf for members in grouped.values() for leaf in members}
    if not grouped or any("/" not in name and len(item.shape) > 1 for name, item in arrays.items()):
        return from_keys(source, arrays, wanted)
    if len(leaves) <= len(grouped) and len(leaves) <= 12:  # a group a clip
        clips = {leaf: {group: g[leaf] for group, g in grouped.items() if leaf in g} for leaf in leaves}
        ids = list(grouped)
        source.kind = "an HDF5 file with a group for each clip"
    else:
        clips = grouped
        ids = list(dict.fromkeys(clip for members in grouped.values() for clip in members))
        source.kind = "an HDF5 file with a group for each modality"
    source.clips, source.ids, source.ids_from = len(ids), ids, "the names in the file"
    found = {}
    for name, members in sorted(clips.items()):
        first = next(iter(members.values()))
        if first.dtype.kind == "f" and len(first.shape) >= 1:
            found[name] = _Members(ids, members)
        else:
            source.notes.append(f"'{name}' {first.dtype} is not imported")
    take_modalities(source, found, wanted)
    return source


class _Dataset:
    """An HDF5 array of numbers or texts, whose damage shows when its values are read."""

    def __init__(self, path: Path, values: h5py.Dataset) -> None:
        texts = h5py.check_string_dtype(values.dtype) is not None
        self._path, self._values = path, values.asstr() if texts else values
        self.shape, self.dtype = values.shape, np.dtype(object) if texts else values.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice | tuple[()]) -> Any:
        with reading_hdf5(self._path):
            return self._values[rows]


class _Members(LazyClips):
    """Arrays of HDF5, one for each clip."""

    def __init__(self, ids: list[str], members: Mapping[str, Any]) -> None:
        super().__init__(len(ids))
        self._ids, self._members = ids, members

    def read(self, rows: range) -> list[Any]:
        members = (self._members.get(self._ids[row]) for row in rows)
        return [None if member is None else np.asarray(member[()]) for member in members]


def read_npy_folder(path: Path, wanted: Wanted) -> Source:
    """A folder with one .npy file for each modality, and others for masks, ids and labels.

    Raises:
        InputError: A file is damaged or holds Python objects, or the arrays do not fit each other.
    """
    arrays: dict[str, Any] = {}
    for file in sorted(path.glob("*.npy")):
        arrays[file.stem] = mapped_npy(file)
    source = from_keys(Source("a folder with an array for each modality", path, 0), arrays, wanted)
    if source.ids is None and (path / IDS_FILE).is_file():
        source.ids, source.ids_from = read_text(path / IDS_FILE).splitlines(), IDS_FILE
    return source


def mapped_npy(file: Path) -> NDArray[Any]:
    """Map a .npy file.

    Raises:
        InputError: It is damaged, or holds Python objects.
    """
    with _damage(file, ".npy"):
        values = np.load(file, mmap_mode="r", allow_pickle=False)
    return np.asarray(values) if values.ndim == 0 else values


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
        if "pickle" in str(error) or "Object arrays" in str(error):
            raise InputError(_PICKLED, where=path) from None
        raise InputError(f"not a readable {kind} file ({error})", where=path, fix="write it again") from None
