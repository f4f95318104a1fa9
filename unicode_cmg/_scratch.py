"""Scratch folders beside what they will replace: locked while their process lives, swept after it.

A scratch is a folder `.NAME.partial-xxxxxxxx`. Its process holds a lock on it (`flock`), which the system
releases when the process ends in any way, so a scratch that can be locked belongs to nobody.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARTIAL, _PREVIOUS = ".partial-", ".previous-"
_LONGEST = 120  # bytes of a name inside the name of its scratch; a name may have 255
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, locked within the block and removed at its end if still there.

    What killed processes left of earlier attempts at the same `path` is removed first.
    """
    sweep(path)
    found, descriptor = _claim(path)
    try:
        yield found
    finally:
        remove(found)
        os.close(descriptor)


def sweep(path: Path) -> None:
    """Remove the scratches of `path` whose process has ended, and put back a version that was moved aside."""
    for found in path.parent.glob(f"{_glob_escaped(_prefix(path, _PREVIOUS))}*"):
        if not path.exists():  # killed between two renames; the next rename never came
            found.replace(path)
        else:
            remove(found)
    for found in path.parent.glob(f"{_glob_escaped(_prefix(path, _PARTIAL))}*"):
        _remove_if_free(found)


def sweep_folder(folder: Path) -> None:
    """Remove every scratch inside a folder, though not in its subfolders, whose process has ended."""
    for found in folder.glob(f".*{_PARTIAL}*"):
        _remove_if_free(found)


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder so that it is never seen in part: it gets the name of a scratch first."""
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path, _PARTIAL)))
    path.replace(aside)  # an empty folder may be replaced
    shutil.rmtree(aside, ignore_errors=True)


def put_in_place(new: Path, path: Path) -> None:
    """Let the folder `new` become `path`; a folder that was there is removed afterwards.

    The two are exchanged in one step of the file system. Where it cannot do this, the old one is moved aside
    first, and `sweep` puts it back if the process is killed before the second step.
    """
    if not path.exists():
        new.replace(path)
    elif not _exchange(new, path):
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path, _PREVIOUS)))
        path.replace(aside)
        try:
            new.replace(path)
        except BaseException:
            aside.replace(path)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _prefix(path: Path, kind: str) -> str:
    return f".{path.name.encode(errors='surrogateescape')[:_LONGEST].decode(errors='ignore')}{kind}"


def _glob_escaped(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def _claim(path: Path) -> tuple[Path, int]:
    """A new scratch and the descriptor whose lock shows that it is in use."""
    while True:
        found = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path, _PARTIAL)))
        try:
            descriptor = os.open(found, os.O_RDONLY)
        except FileNotFoundError:  # another process has swept it before it was locked
            continue
        if _lock(descriptor) is not False and found.exists():
            return found, descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Whether the lock is ours now; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_if_free(found: Path) -> None:
    try:
        descriptor = os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        if _lock(descriptor):
            remove(found)
    finally:
        os.close(descriptor)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step; False where the system cannot."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    names = (os.fsencode(first), os.fsencode(second))
    if call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(second))
