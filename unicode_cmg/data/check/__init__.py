"""Whether a folder holds what a task needs, told before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from unicode_cmg.data.check.ave import check_ave
from unicode_cmg.data.check.ave_avvp import check_ave_avvp
from unicode_cmg.data.check.avvp import check_avvp
from unicode_cmg.data.check.findings import Finding, Findings
from unicode_cmg.data.check.retrieval import check_retrieval
from unicode_cmg.data.check.ucf_vgg import check_ucf_vgg
from unicode_cmg.data.check.vggsound_avel import check_vggsound_avel
from unicode_cmg.data.layouts._retrieval_sets import LAYOUTS
from unicode_cmg.errors import InputError

_CHECKS: Mapping[str, Callable[[Findings, Path], None]] = {
    "ave": check_ave,
    "avvp": check_avvp,
    "ave-avvp": check_ave_avvp,
    "ucf-vgg": check_ucf_vgg,
    "vggsound-avel": check_vggsound_avel,
    **dict.fromkeys(LAYOUTS, check_retrieval),
}


def available_checks() -> tuple[str, ...]:
    """Names that `check_data` takes for `task`."""
    return tuple(_CHECKS)


def check_data(task: str, root: str | Path, *, every: bool = False) -> Findings:
    """Look at all files of a task, without stopping at the first problem.

    Args:
        task: One of `available_checks()`.
        root: The folder of the data set, or the one that contains it, as evaluations take it.
        every: Read every clip, which takes as long as reading the data set, rather than a sample.

    Returns:
        What was found; `usable` tells whether a problem is among it.

    Raises:
        InputError: There is no such task or folder.
    """
    if task not in _CHECKS:
        raise InputError(f"unknown task '{task}'", expected=" or ".join(_CHECKS))
    root = Path(root)
    if not root.is_dir():
        raise InputError("no such folder", where=root, fix="give the folder of the data set")
    findings = Findings(task, root, every)
    _CHECKS[task](findings, root)
    return findings


__all__ = ["Finding", "Findings", "available_checks", "check_data"]
