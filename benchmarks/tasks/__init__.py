"""The tasks: one file each, found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.tasks.ave import AVETask
from benchmarks.tasks.base import ClipTask
from unicode_cmg.errors import InputError

_READERS: Mapping[str, Callable[[Path], ClipTask]] = {"ave": AVETask.read}


def available_tasks() -> tuple[str, ...]:
    """Names that `evaluate` takes for `task`."""
    return tuple(_READERS)


def read_task(name: str, data_root: str | Path) -> ClipTask:
    """Open the data of a task.

    Raises:
        InputError: There is no such task or folder, or the data is damaged.
    """
    if name not in _READERS:
        raise InputError(f"unknown task '{name}'", expected=" or ".join(_READERS))
    data_root = Path(data_root)
    if not data_root.is_dir():
        raise InputError("no such folder", where=data_root, fix="give the folder of the data set")
    return _READERS[name](data_root)


__all__ = ["ClipTask", "available_tasks", "read_task"]
