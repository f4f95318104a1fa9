"""Cross-modal generalization benchmarks: train a head on one modality's codes, test it on another's."""

from __future__ import annotations

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
