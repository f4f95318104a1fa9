"""Files that are either whole or absent: atomic writes, and reads whose failures say what to do."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unicode_cmg.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSALS = (
    errno.EACCES,
    errno.EEXIST,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)
DISK_ERRORS = (*_FULL, *_REFUSALS)
"""Numbers of the errors with which a disk, or a path on it, refuses a file."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, or one we may not write to, into an `InputError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise InputError(
                "the disk is full, nothing was replaced", where=path, fix="free some space and run again"
            ) from error
        if error.errno in _REFUSALS:
            raise InputError(f"cannot write here ({error.strerror})", where=path) from error
        raise


def sync_all(paths: Iterable[Path]) -> None:
    """Wait until files and folders are on the disk; side by side, because each wait adds up."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(_sync, paths))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside `path`; on success it replaces `path`, on failure nothing has changed.

    Raises:
        InputError: The disk is full or not writable.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        scratch = Path(name)
        try:
            yield scratch
            _sync(scratch)
            scratch.chmod(0o666 & ~umask())
            scratch.replace(path)
            _sync(path.parent)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a scratch folder beside `path`; on success it takes the place of `path` in one rename.

    An existing `path` is moved aside first and removed last, so at every instant one whole version exists.

    Raises:
        InputError: The disk is full or not writable.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield scratch
            sync_all([*scratch.rglob("*"), scratch])
            scratch.chmod(0o777 & ~umask())
            if path.exists():
                aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
                path.replace(aside / path.name)
                try:
                    scratch.replace(path)
                except BaseException:
                    (aside / path.name).replace(path)
                    raise
                finally:
                    shutil.rmtree(aside, ignore_errors=True)
            else:
                scratch.replace(path)
            _sync(path.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def check_replaceable(path: Path, marker: str) -> None:
    """Refuse to replace a folder that something else wrote.

    Raises:
        InputError: `path` is a file, or a folder with content but without the file `marker`.
    """
    if path.is_file():
        raise InputError("a file is in the way", where=path, expected="a folder to write")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        what = f"the folder holds other files (it has no {marker})"
        raise InputError(what, where=path, fix="name a new or an empty folder")


def umask() -> int:
    """The permissions that new files do not have."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, in UTF-8."""
    with atomic_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what keeps a file from being read into an `InputError` that names `path`; an empty file too."""
    try:
        if Path(path).is_file() and Path(path).stat().st_size == 0:
            raise InputError("the file is empty", where=path, fix="it may have been truncated; copy it again")
        yield
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the path") from None
    except IsADirectoryError:
        raise InputError("this is a folder", where=path, expected="a file") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=path) from error


def read_text(path: Path) -> str:
    """Read a UTF-8 text file.

    Raises:
        InputError: The file is missing, empty, a folder, unreadable or not UTF-8.
    """
    with reading(path):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise InputError("not a text file", where=path, expected="UTF-8 text") from None
    if not text.strip():
        raise InputError("the file is empty", where=path)
    return text


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: The file is missing, empty, truncated or not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON at line {error.lineno} ({error.msg})",
            where=path,
            fix="it may have been truncated",
        ) from None
