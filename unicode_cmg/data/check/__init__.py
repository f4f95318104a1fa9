"""`data check`: whether a folder contains what a task needs, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from unicode_cmg.data.check.ave import check_ave
from unicode_cmg.data.check.ave_avvp import check_ave_avvp
from unicode_cmg.data.check.avvp import check_avvp
from unicode_cmg.data.check.report import CheckReport, Entry
from unicode_cmg.data.check.retrieval import check_retrieval
from unicode_cmg.data.check.ucf_vgg import check_ucf_vgg
from unicode_cmg.data.check.vggsound_avel import check_vggsound_avel
from unicode_cmg.data.layouts.retrieval_lists import LAYOUTS
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


__all__ = ["CheckReport", "Entry", "available_checks", "check_data"]
