"""Arrays of pickles, files of torch and safetensors, by the reader of `toc`, which runs nothing of a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.sources.source import Array
from unicode_cmg.errors import InputError
from unicode_cmg.siblings import import_siblings

if TYPE_CHECKING:
    from toc.codebooks.files import Stored

Keys = tuple[str, ...]
_DEEPEST = 12


class StoredArray(Array):
    """A tensor of a file of torch or safetensors."""

    def __init__(self, path: Path, stored: Stored) -> None:
        self._path, self._stored = path, stored
        self.shape = stored.shape
        self.dtype = np.dtype(np.float32 if stored.dtype == "bfloat16" else stored.dtype)

    def __getitem__(self, rows: slice) -> Any:
        return _stored_values(self._path, self._stored)[rows]

    def whole(self) -> Any:
        return _stored_values(self._path, self._stored)


class Unread(Array):
    """An object of a pickle that is neither an array, a number, a text nor a container of them."""

    shape, dtype = (), np.dtype("V1")

    def __init__(self, kind: str) -> None:
        self.kind = kind  # "" for None

    def __getitem__(self, rows: slice) -> Any:
        raise NotImplementedError

    def whole(self) -> Any:
        raise NotImplementedError


class HeldArray(Array):
    """An array or a value of a pickle; the pickle that was used last stays in memory."""

    def __init__(self, load: Callable[[], dict[Keys, Any]], keys: Keys, shape: tuple[int, ...], dtype: Any):
        self._load, self._keys, self.shape, self.dtype = load, keys, shape, dtype

    def __getitem__(self, rows: slice) -> Any:
        return self.whole()[rows]

    def whole(self) -> Any:
        return self._load()[self._keys]


def safetensors_arrays(path: Path) -> dict[Keys, Any]:
    """The tensors of a safetensors file.

    Raises:
        InputError: It is damaged.
    """
    with _refusals(path):
        from toc.codebooks.files import read_safetensors

        return {(name,): StoredArray(path, stored) for name, stored in read_safetensors(path).items()}


def pickled_arrays(path: Path) -> dict[Keys, Any]:
    """Arrays, tensors, numbers and texts of a pickle or a file of torch, by the keys that lead to them.

    Raises:
        InputError: It is damaged, or holds nothing of the kind.
    """

    def load() -> dict[Keys, Any]:
        return _file_values(path, path.stat().st_mtime_ns)

    with _refusals(path):
        found = load()
    return _listed(found, load, path)


def object_arrays(path: Path, key: str, content: bytes) -> dict[Keys, Any]:
    """The same of an array of Python objects in a .npy file, or under a key of an npz file.

    Args:
        path: The file.
        key: The key; "" in a .npy file.
        content: What follows the header.

    Raises:
        InputError: It is damaged, or holds nothing of the kind.
    """
    with _refusals(path):
        from toc.codebooks.inert import PickleError
        from toc.codebooks.pickles import read_pickle

        try:
            found = _values(path, read_pickle(io.BytesIO(content)))
        except PickleError as error:
            where = f"{path}: '{key}'" if key else path
            raise InputError(f"a damaged array of Python objects ({error})", where=where) from None
    return _listed(found, lambda: found, path)


def _listed(found: dict[Keys, Any], load: Callable[[], dict[Keys, Any]], path: Path) -> dict[Keys, Any]:
    listed: dict[Keys, Any] = {}
    for keys, value in found.items():
        if isinstance(value, (StoredArray, Unread)):
            listed[keys] = value
        else:
            array = np.asarray(value)
            listed[keys] = HeldArray(load, keys, array.shape, array.dtype)
    unread = [value.kind for value in listed.values() if isinstance(value, Unread)]
    if len(unread) == len(listed):
        kind = next(filter(None, unread), "")
        what = f"no array in it{f', but an object of {kind}' if kind else ''}"
        expected = "tensors, arrays of NumPy, or dictionaries and lists of them"
        raise InputError(what, where=path, expected=expected, fix="save the arrays with np.savez")
    return listed


@lru_cache(maxsize=1)
def _file_values(path: Path, _: int) -> dict[Keys, Any]:
    from toc.codebooks.torch_files import load_content

    return _values(path, load_content(path))


@lru_cache(maxsize=8)
def _stored_values(path: Path, stored: Stored) -> NDArray[Any]:
    with _refusals(path):
        return stored.read()


def _values(path: Path, content: Any) -> dict[Keys, Any]:
    """Keys -> an array, a number, a text, a `StoredArray`, or an `Unread` object."""
    return dict(_walk(path, content, (), set()))


def _walk(path: Path, value: Any, keys: Keys, seen: set[int]) -> Iterator[tuple[Keys, Any]]:
    from toc.codebooks.inert import Inert, PickledArray
    from toc.codebooks.torch_files import stored_array
    from toc.codebooks.torch_tensors import FileTensor

    if isinstance(value, FileTensor):
        yield keys, StoredArray(path, value.stored())
    elif isinstance(value, PickledArray):
        stored = stored_array(value)
        if stored is not None:
            yield keys, stored.read()
        elif isinstance(value.data, list):  # an array of objects
            inside = value.data[0] if value.shape == () and len(value.data) == 1 else value.data
            yield from _walk(path, inside, keys, seen)
    elif isinstance(value, Inert) or value is None:
        yield keys, Unread("" if value is None else value.kind)
    elif isinstance(value, (dict, list, tuple)):
        if id(value) in seen or len(keys) == _DEEPEST:
            return
        seen.add(id(value))
        if not isinstance(value, dict) and (array := _array_of(value)) is not None:
            yield keys, array
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _walk(path, item, (*keys, str(key)), seen)
    elif isinstance(value, (int, float, str)):
        yield keys, value


def _array_of(values: list[Any] | tuple[Any, ...]) -> NDArray[Any] | None:
    """A list of numbers or texts, or lists of numbers of one length, as an array."""
    if not values:
        return None
    if all(isinstance(value, (int, float)) for value in values):
        return np.asarray(values)
    if all(value is None or isinstance(value, (int, float, str)) for value in values):
        return np.asarray(values, dtype=object)
    if all(isinstance(value, (list, tuple)) for value in values):
        inner = [_array_of(value) for value in values]
        shapes = {None if array is None or array.dtype == object else array.shape for array in inner}
        if len(shapes) == 1 and None not in shapes:
            return np.asarray(inner)
    return None


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Errors of the reader of `toc` as ours."""
    import_siblings("toc")
    from toc import CodebookError

    try:
        yield
    except CodebookError as error:
        fix = "save it again"
        raise InputError(str(error).removeprefix(f"{path}: "), where=path, fix=fix) from None
