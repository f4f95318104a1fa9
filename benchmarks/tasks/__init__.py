"""The tasks: one file each, found by name, and those of installed packages."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from benchmarks.tasks.ave import AVETask
from benchmarks.tasks.ave_avvp import AVEAVVPTask
from benchmarks.tasks.avvp import AVVPTask
from benchmarks.tasks.base import Task
from benchmarks.tasks.labels import LabelsTask
from benchmarks.tasks.own_retrieval import StoreRetrievalTask, ZeroShotTask
from benchmarks.tasks.retrieval import (
    ClothoTask,
    COCOTask,
    FlickrSoundTask,
    MSVDTask,
    RetrievalTask,
    ValorTask,
)
from benchmarks.tasks.ucf_vgg import UCFVGGTask
from unicode_cmg.entry_points import load_offered, offered
from unicode_cmg.errors import InputError, did_you_mean

GROUP = "unicode_cmg.tasks"
"""The group of entry points under which a package offers tasks: `NAME = "module:Class"`."""

_RETRIEVAL: tuple[type[RetrievalTask], ...] = (ClothoTask, COCOTask, FlickrSoundTask, MSVDTask, ValorTask)
_OWN: tuple[type[Task], ...] = (LabelsTask, ZeroShotTask, StoreRetrievalTask)
_CLASSES: tuple[type[Task], ...] = (AVETask, AVVPTask, AVEAVVPTask, UCFVGGTask, *_RETRIEVAL, *_OWN)
_OURS = {task.name: task for task in _CLASSES}


def available_tasks() -> tuple[str, ...]:
    """Names that `evaluate` takes for `task`: ours first, then those of other packages."""
    return (*_OURS, *sorted(set(offered(GROUP)) - set(_OURS)))


def available_protocols(task: str) -> tuple[str, ...]:
    """Names that `evaluate` takes for `protocol` with a task.

    Raises:
        InputError: There is no such task.
    """
    return tuple(task_class(task).protocols)


def resolve_task(name: str, data_root: str | Path) -> str:
    """The task of that name; "retrieval" stands for the one set that is in the folder, or the store
    that the folder is.

    Raises:
        InputError: "retrieval", and there is none or several.
    """
    if name != "retrieval":
        return name
    searched: tuple[type[Task], ...] = (*_RETRIEVAL, StoreRetrievalTask)
    found = [task for task in searched if _readable(task, Path(data_root))]
    if len(found) != 1:
        sets = ", ".join(task.name for task in found or searched)
        raise InputError(
            f"{len(found)} retrieval sets" if found else "no retrieval set",
            where=data_root,
            expected="the folder of one" if found else f"what one of {sets} reads",
            fix=f"name the task: {sets}" if found else None,
        )
    return found[0].name


def _readable(task: type[Task], data_root: Path) -> bool:
    try:
        task.read(data_root)
    except InputError:
        return False
    return True


def read_task(name: str, data_root: str | Path, **options: Any) -> Task:
    """Open the data of a task.

    Args:
        name: One of `available_tasks()`, or "retrieval".
        data_root: Folder of the data.
        options: What `read` of this task takes beside the folder.

    Raises:
        InputError: There is no such task or folder, the task has no such option, or the data is damaged.
    """
    task = task_class(resolve_task(name, data_root))
    known = list(signature(task.read).parameters)[1:]
    for option in options:
        if option not in known:
            raise InputError(
                f"the task has no option '{option}'",
                where=f"task {task.name}",
                expected=f"some of {', '.join(known)}" if known else "no option: the data says everything",
            )
    data_root = Path(data_root)
    if not data_root.is_dir():
        raise InputError("no such folder", where=data_root, fix="give the folder of the data set")
    return task.read(data_root, **options)


def task_class(name: str) -> type[Task]:
    """The class of a task; ours come before those of other packages.

    Raises:
        InputError: There is none of this name, or the package that offers it cannot be used.
    """
    if name in _OURS:
        return _OURS[name]
    points = offered(GROUP)
    if name in points:
        found: type[Task] = load_offered(points[name], "task", Task)
        return found
    raise InputError(
        f"unknown task '{name}'",
        expected=f"one of {', '.join(available_tasks())}",
        fix=f"{did_you_mean(name, available_tasks())} 'labels' takes data and labels of your own",
    )


__all__ = ["Task", "available_protocols", "available_tasks", "read_task", "resolve_task", "task_class"]
