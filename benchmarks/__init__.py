"""Cross-modal generalization benchmarks: train a head on one modality's codes, test it on another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.evaluation.evaluate import evaluate
    from benchmarks.evaluation.results import TaskResult
    from benchmarks.tasks import available_protocols, available_tasks
    from unicode_cmg.results import DirectionResult, HeadConfig, JointResult, Measure

__all__ = [
    "DirectionResult",
    "HeadConfig",
    "JointResult",
    "Measure",
    "TaskResult",
    "available_protocols",
    "available_tasks",
    "evaluate",
]

# Torch takes seconds to import, and `python -m benchmarks.sweep --help` must not wait for it.
_HOMES = {
    "DirectionResult": "unicode_cmg.results",
    "HeadConfig": "unicode_cmg.results",
    "JointResult": "unicode_cmg.results",
    "Measure": "unicode_cmg.results",
    "TaskResult": "benchmarks.evaluation.results",
    "available_protocols": "benchmarks.tasks",
    "available_tasks": "benchmarks.tasks",
    "evaluate": "benchmarks.evaluation.evaluate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
