"""Cross-modal generalization benchmarks: train a head on one modality's codes, test it on another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.evaluation.code_usage import CodeUsage, code_usage
    from benchmarks.evaluation.evaluate import evaluate
    from benchmarks.evaluation.heads import HeadConfig
    from benchmarks.evaluation.results import DirectionResult, JointResult, Measure, TaskResult
    from benchmarks.tasks import available_protocols, available_tasks

__all__ = [
    "CodeUsage",
    "DirectionResult",
    "HeadConfig",
    "JointResult",
    "Measure",
    "TaskResult",
    "available_protocols",
    "available_tasks",
    "code_usage",
    "evaluate",
]

# Torch takes seconds to import, and `python -m benchmarks.sweep --help` must not wait for it.
_HOMES = {
    "CodeUsage": "evaluation.code_usage",
    "DirectionResult": "evaluation.results",
    "HeadConfig": "evaluation.heads",
    "JointResult": "evaluation.results",
    "Measure": "evaluation.results",
    "TaskResult": "evaluation.results",
    "available_protocols": "tasks",
    "available_tasks": "tasks",
    "code_usage": "evaluation.code_usage",
    "evaluate": "evaluation.evaluate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"benchmarks.{_HOMES[name]}"), name)
