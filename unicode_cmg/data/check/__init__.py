"""`data check`: whether a folder contains what a task needs, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from unicode_cmg.data.check.ave import check_ave
from unicode_cmg.data.check.ave_avvp import check_ave_avvp
from unicode_cmg.data.check.avvp import check_avvp
from unicode_cmg.data.check.report import CheckReport, Entry
from unicode_cmg.data.check.retrieval import check_retrieval
from unicode_cmg.data.check.store import check_store
from unicode_cmg.data.check.ucf_vgg import check_ucf_vgg
from unicode_cmg.data.check.vggsound_avel import check_vggsound_avel
from unicode_cmg.data.layouts.retrieval_lists import LAYOUTS
from unicode_cmg.data.store.part import INDEX
from unicode_cmg.errors import InputError, unknown

_CHECKS: Mapping[str, Callable[[CheckReport, Path], None]] = {
    "ave": check_ave,
    "avvp": check_avvp,
    "ave-avvp": check_ave_avvp,
    "ucf-vgg": check_ucf_vgg,
    "vggsound-avel": check_vggsound_avel,
    **dict.fromkeys(LAYOUTS, check_retrieval),
}


def available_checks() -> tuple[str, ...]:
    """The names of tasks that `check_data` knows."""
    return tuple(_CHECKS)


def check_data(task: str, root: str | Path, *, every: bool = False) -> CheckReport:
    """Check all files of a task, without stopping at the first problem.

    Args:
        task: One of `available_checks()`.
        root: The folder of the data set, or the folder that contains it, as for evaluations.
        every: Read every clip, which takes as long as reading the data set, rather than a sample.

    Returns:
        The report; it is `usable` if there is no problem.

    Raises:
        InputError: There is no such task or folder.
    """
    if task not in _CHECKS:
        raise unknown("task", task, _CHECKS)
    root = Path(root)
    if not root.is_dir():
        raise InputError("no such folder", where=root, fix="give the folder of the data set")
    report = CheckReport(task, root, every)
    _CHECKS[task](report, root)
    return report


def check_feature_store(path: str | Path, *, every: bool = False) -> CheckReport:
    """Check all files of a feature store against the hashes in it, without stopping at the first problem.

    Args:
        path: The store.
        every: Also read the features of every clip, rather than a sample.

    Raises:
        InputError: There is no store.
    """
    path = Path(path)
    if not (path / INDEX).is_file():
        what = f"no {INDEX} in this folder" if path.is_dir() else "no such folder"
        fix = "to check a published data set, name its task first, such as: data check ave data"
        raise InputError(what, where=path, expected="a feature store", fix=fix)
    report = CheckReport("feature store", path, every)
    check_store(report, path)
    return report


__all__ = ["CheckReport", "Entry", "available_checks", "check_data", "check_feature_store"]
