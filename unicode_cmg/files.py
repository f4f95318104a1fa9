"""Files that are either whole or absent: atomic writes, and reads whose failures say what to do."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unicode_cmg._scratch import put_in_place, scratch
from unicode_cmg.errors import InputError, SetupError

MOST_TEXT = 128 << 20
"""Bytes of the largest text that is read at once: no record of a run and no published list is near it."""
_DEEPEST = 64
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
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
            raise SetupError(
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
        with scratch(path) as folder:
            found = folder / path.name
            found.touch()
            yield found
            _sync(found)
            found.replace(path)
            _sync(path.parent)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a scratch folder beside `path`; on success it takes the place of `path` in one step.

    At every instant one whole version exists, and what a killed process leaves is swept by the next writer.

    Raises:
        InputError: The disk is full or not writable.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch(path) as found:
            yield found
            sync_all([*found.rglob("*"), found])
            found.chmod(0o777 & ~umask())
            put_in_place(found, path)
            _sync(path.parent)


def check_writable(path: Path, *, size: int = 1 << 20) -> None:
    """Make sure, before long work, that a result can be written to `path` at its end.

    Args:
        path: The file or folder that will be written. Missing parents are not made.
        size: Bytes that must be free.

    Raises:
        InputError: The disk is full or not writable, or a name is too long.
    """
    path = Path(path)
    with disk_errors(path):
        with suppress(FileNotFoundError):
            os.lstat(path)  # a name may be too long
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=parent) as probe:
            os.posix_fallocate(probe.fileno(), 0, size)


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
    """Turn what keeps a file from being read into an `InputError` that names `path`; an empty file too.

    A pipe or a device is refused before it is opened.
    """
    try:
        check_regular(path)
        if Path(path).is_file() and Path(path).stat().st_size == 0:
            raise InputError("the file is empty", where=path, fix="it may have been truncated; copy it again")
        yield
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the path") from None
    except IsADirectoryError:
        raise InputError("this is a folder", where=path, expected="a file") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=path) from error


def check_regular(path: Path) -> None:
    """Refuse a pipe or a device, whose reading could wait for ever; a folder passes.

    Raises:
        InputError: It is one.
        FileNotFoundError: There is no such file.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kinds = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
        what = f"this is a {kinds.get(stat.S_IFMT(mode), 'device')}"
        raise InputError(what, where=path, expected="a file")


def read_text(path: Path, *, most: int = MOST_TEXT) -> str:
    """Read a UTF-8 text file.

    Args:
        path: The file.
        most: Bytes of the largest file that is read.

    Raises:
        InputError: The file is missing, empty, a folder, a pipe or a device, unreadable, larger than `most`
            or not UTF-8.
    """
    with reading(path), Path(path).open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"the file is larger than {most / 2**20:g} MiB", where=path, expected="a text file")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("not a text file", where=path, expected="UTF-8 text") from None
    if not text.strip():
        raise InputError("the file is empty", where=path)
    return text


def read_json(path: Path) -> Any:
    """Read a JSON file; it is refused as `parse_json` says, or if it cannot be read.

    Raises:
        InputError: The file is missing, empty, truncated or not JSON.
    """
    return parse_json(read_text(path), where=path)


def parse_json(text: str | bytes, *, where: object) -> Any:
    """The value of a JSON text whose numbers fit 64 bits and whose texts can be written down again.

    Args:
        text: The text.
        where: The file or line it came from, for the error message.

    Raises:
        InputError: It is not JSON, is nested too deeply, holds NaN, an infinity or an integer beyond 64 bits,
            or half of a surrogate pair.
    """
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_number)
        check_depth(value)
        if _SURROGATE.search(text if isinstance(text, str) else text.decode(errors="replace")):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON at line {error.lineno} ({error.msg})",
            where=where,
            fix="it may have been truncated",
        ) from None
    except UnicodeError:
        raise InputError("a text in it is not valid Unicode", where=where) from None
    except RecursionError:
        raise InputError("values are nested too deeply", where=where) from None
    except ValueError as error:
        raise InputError(str(error), where=where, expected="numbers of at most 64 bits") from None
    return value


def csv_cell(value: Any) -> Any:
    """A value for a csv file; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def check_depth(value: Any) -> None:
    """Raise RecursionError for lists and mappings nested so deeply that writing them again could fail."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(_DEEPEST):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise RecursionError


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**64:
        raise ValueError(f"the number {text[:24]}{'...' * (len(text) > 24)} is too large")
    return value


def _number(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:24]}{'...' * (len(text) > 24)} is not finite")
    return value


def inside(folder: Path, path: Path) -> Path:
    """`path`, refused unless it lies in `folder` even when links are followed.

    Raises:
        InputError: It lies elsewhere.
    """
    try:
        within = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    except (OSError, ValueError):
        within = False
    if not within:
        raise InputError("this leads out of the folder", where=path, expected=f"a file inside {folder}")
    return path
