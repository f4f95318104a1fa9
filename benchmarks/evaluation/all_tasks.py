"""All tasks that a data root has, under one protocol or all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.evaluation.evaluate import evaluate
from benchmarks.evaluation.results import TaskResult
from benchmarks.tasks import available_protocols, available_tasks, read_task, resolve_task
from unicode_cmg.errors import InputError
from unicode_cmg.model import Model

ALL = "all"


def evaluate_all(
    model: Model,
    task: str,
    data_root: str | Path,
    protocol: str = "held-out",
    *,
    skipped: Callable[[str, str], None],
    **options: Any,
) -> Iterator[TaskResult]:
    """Evaluate a task, or all that the data root has, under a protocol, or all that the task has.

    Args:
        model: A pretrained method.
        task: As for `evaluate`, or `"all"`.
        data_root: Folder of the data sets.
        protocol: As for `evaluate`, or `"all"`.
        skipped: Of all tasks, told the name of each that cannot be evaluated, and why.
        options: As for `evaluate`.

    Raises:
        InputError: As `evaluate`; or of all tasks none can be evaluated.
    """
    every = task == ALL
    done = False
    for name in available_tasks() if every else [resolve_task(task, data_root)]:
        protocols = available_protocols(name) if protocol == ALL else [protocol]
        try:
            if every:
                read_task(name, data_root)
            for rule in protocols:
                if every and rule not in available_protocols(name):
                    continue
                yield evaluate(model, name, data_root, rule, **options)
                done = True
        except InputError as error:
            if not every:
                raise
            skipped(name, str(error))
    if not done:
        raise InputError("no task that this model can be evaluated on", where=data_root)


def file_name(result: TaskResult) -> str:
    """The name of its file in a folder of results, such as `ave.json` or `avvp-paper-f1.json`."""
    parts = [result.task]
    if result.protocol != "held-out":
        parts.append(result.protocol)
    if result.toc is not None:
        parts += ["toc", "requantize"] if result.toc[0].use == "requantize" else ["toc"]
    return "-".join(parts) + ".json"
