"""The tasks: one file each, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.evaluation.protocols import Protocol
from benchmarks.tasks.ave import AVETask
from benchmarks.tasks.ave_avvp import AVEAVVPTask
from benchmarks.tasks.avvp import AVVPTask
from benchmarks.tasks.base import Task
from benchmarks.tasks.retrieval import (
    ClothoTask,
    COCOTask,
    FlickrSoundTask,
    MSVDTask,
    RetrievalTask,
    ValorTask,
)
from benchmarks.tasks.ucf_vgg import UCFVGGTask
from unicode_cmg.errors import InputError, unknown

_RETRIEVAL: tuple[type[RetrievalTask], ...] = (ClothoTask, COCOTask, FlickrSoundTask, MSVDTask, ValorTask)
_TASKS: Mapping[str, type[Task]] = {
    "ave": AVETask,
    "avvp": AVVPTask,
    "ave-avvp": AVEAVVPTask,
    "ucf-vgg": UCFVGGTask,
    **{f"retrieval-{task.layout}": task for task in _RETRIEVAL},
}


def available_tasks() -> tuple[str, ...]:
    """Names that `evaluate` takes for `task`."""
    return tuple(_TASKS)


def available_protocols(task: str) -> tuple[str, ...]:
    """Names that `evaluate` takes for `protocol` with a task.

    Raises:
        InputError: There is no such task.
    """
    return tuple(_task(task).protocols)


def resolve_protocol(protocol: str | Protocol, task: str) -> Protocol:
    """The protocol of that name for a task, or the protocol itself.

    Raises:
        InputError: There is none, or no such task.
    """
    if isinstance(protocol, Protocol):
        return protocol
    known = _task(task).protocols
    if protocol not in known:
        raise unknown("protocol", protocol, known, where=f"task {task}")
    return known[protocol]


def resolve_task(name: str, data_root: str | Path) -> str:
    """The task of that name; "retrieval" stands for the one set that is in the folder.

    Raises:
        InputError: "retrieval", and there is none or several.
    """
    if name != "retrieval":
        return name
    found = [task for task in _RETRIEVAL if _readable(task, Path(data_root))]
    if len(found) != 1:
        sets = ", ".join(f"retrieval-{task.layout}" for task in found or _RETRIEVAL)
        raise InputError(
            f"{len(found)} retrieval sets" if found else "no retrieval set",
            where=data_root,
            expected="the folder of one" if found else f"what one of {sets} reads",
            fix=f"name the task: {sets}" if found else None,
        )
    return f"retrieval-{found[0].layout}"


def _readable(task: type[Task], data_root: Path) -> bool:
    try:
        task.read(data_root)
    except InputError:
        return False
    return True


def read_task(name: str, data_root: str | Path) -> Task:
    """Open the data of a task.

    Raises:
        InputError: There is no such task or folder, or the data is damaged.
    """
    task = _task(name)
    data_root = Path(data_root)
    if not data_root.is_dir():
        raise InputError("no such folder", where=data_root, fix="give the folder of the data set")
    return task.read(data_root)


def _task(name: str) -> type[Task]:
    if name not in _TASKS:
        raise unknown("task", name, _TASKS)
    return _TASKS[name]


__all__ = ["Task", "available_protocols", "available_tasks", "read_task", "resolve_protocol", "resolve_task"]
