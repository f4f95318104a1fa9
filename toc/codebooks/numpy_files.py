"""Files of NumPy: one array (`.npy`) or several by name (`.npz`). What is pickled in them stays unread."""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from toc.codebooks.stored import Stored
from toc.errors import CodebookError

_DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def read_npy(path: Path) -> dict[str, Stored]:
    """The array of an `.npy` file, which goes by the name of the file; its values are not read.

    Raises:
        CodebookError: The file is not one.
    """
    try:
        with path.open("rb") as file:
            return {path.stem: _stored(file, path, None)}
    except _DAMAGED as error:
        raise _damaged(path, error) from None


def read_npz(path: Path) -> dict[str, Stored]:
    """The arrays of an `.npz` file; only their headers are read.

    Raises:
        CodebookError: The file is not one.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                if name != member:
                    with archive.open(member) as file:
                        found[name] = _stored(file, path, name)
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    return found


def _stored(file: Any, path: Path, name: str | None) -> Stored:
    # Versions 2 and 3 differ in the encoding of field names, and codes have no fields.
    old = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return Stored(tuple(shape), dtype.name, partial(_values, path, name, dtype))


def _values(path: Path, name: str | None, dtype: np.dtype[Any]) -> Shaped[np.ndarray, ...]:
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
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> CodebookError:
    return CodebookError(f"{path}: cannot be read as a NumPy file ({error}); it may have been truncated")
