"""Plain .npy files through a memory map, with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.errors import InputError


def open_array(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Map a .npy file read-only.

    Raises:
        InputError: The file is missing, empty, truncated or no .npy file, or is not of this shape and dtype.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError("no such file", where=path, expected=f"an array {list(shape)} of {dtype}") from None
    except (ValueError, EOFError, OSError):
        raise InputError(
            "not a readable .npy file", where=path, fix="it is empty or truncated; write the store again"
        ) from None
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.dtype(dtype):
        found = f"{list(array.shape)} of {array.dtype}" if isinstance(array, np.ndarray) else "several arrays"
        raise InputError(f"the array is {found}", where=path, expected=f"{list(shape)} of {dtype}")
    return array


def replaceable(path: Path, marker: str) -> None:
    """Refuse to replace a folder that somebody else made.

    Raises:
        InputError: `path` is a file, or a folder with content but without the file `marker`.
    """
    if path.is_file():
        raise InputError("a file is in the way", where=path, expected="a folder to write")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise InputError(
            f"the folder holds other files (it has no {marker})",
            where=path,
            fix="name a new or an empty folder",
        )
