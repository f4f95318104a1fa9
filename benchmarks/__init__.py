"""Cross-modal generalization benchmarks: train a head on one modality's codes, test it on another's."""

from __future__ import annotations

from benchmarks.evaluate import evaluate
from benchmarks.heads import HeadConfig
from benchmarks.results import DirectionResult, TaskResult
from benchmarks.tasks import available_tasks

__all__ = ["DirectionResult", "HeadConfig", "TaskResult", "available_tasks", "evaluate"]
