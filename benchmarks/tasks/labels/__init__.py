"""Labels of your own: classes, tags, classes of steps or numbers for the clips of a feature store."""

from __future__ import annotations

from benchmarks.tasks.labels.task import LabelsTask

__all__ = ["LabelsTask"]
