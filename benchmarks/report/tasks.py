"""The sections of the tasks: which results each has, and the rows of its other tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.evaluation.results import TaskResult
from benchmarks.report.transfer import TransferTable, variant
from unicode_cmg.results import JointResult, Measure

_DATA_SETS = {
    "ave": ("AVE", "which event is in the clip?"),
    "avvp": ("AVVP", "which events are in each second?"),
    "ave-avvp": ("AVE to AVVP", "trained on the events of one data set, tested on another"),
    "ucf-vgg": ("UCF101 and VGGSound", "seen in one data set, heard in another"),
    "labels": ("Your labels", "what heads learn of them in one modality, tested in another"),
    "zero-shot": ("Zero-shot classes", "which prompt is the clip most similar to?"),
    "retrieval-store": ("Your clips", "find the same clip in another modality"),
    "retrieval-clotho": ("Clotho", "find the sound to a caption"),
    "retrieval-coco": ("MSCOCO", "find the picture to a caption"),
    "retrieval-flickr-sound": ("FlickrSound", "find the picture to a sound"),
    "retrieval-msvd": ("MSVD", "find the clip to a caption"),
    "retrieval-valor": ("VALOR", "find the clip to a caption"),
}
RETRIEVAL = ("accuracy", "R@1", "R@5", "R@10", "median rank", "mean rank")
"""The measures of retrieval, in the order of the columns."""


class TaskSection(NamedTuple):
    """The results of one task: transfer tables, or searches, the evaluations of retrieval by protocol."""

    id: str
    name: str
    title: str
    tables: list[TransferTable]
    searches: list[list[TaskResult]]


def task_sections(
    tables: Sequence[TransferTable], evaluations: Iterable[TaskResult], *, digits: bool
) -> list[TaskSection]:
    """A section for each task that has results.

    Args:
        tables: The transfer tables of the evaluations.
        evaluations: All of them; those without heads are retrieval.
        digits: Whether the data are the embedded digits, in the layouts of the data sets of the tasks.
    """
    searches: dict[str, dict[str, list[TaskResult]]] = {}
    for result in evaluations:
        if result.head is None:
            searches.setdefault(result.task, {}).setdefault(result.protocol, []).append(result)
    sections = []
    for name in sorted({table.task for table in tables} | set(searches)):
        data_set, question = _DATA_SETS.get(name, (name, ""))
        title = f"Embedded digits in the layout of {data_set}" if digits else data_set
        sections.append(
            TaskSection(
                id=f"task-{re.sub(r'[^a-z0-9]+', '-', name.lower())}",
                name=name,
                title=f"{title}: {question}" if question else title,
                tables=[table for table in tables if table.task == name],
                searches=[
                    sorted(group, key=lambda r: (r.permute_codes_seed is not None, r.toc is not None))
                    for _, group in sorted(searches.get(name, {}).items())
                ],
            )
        )
    return sections


def joint_rows(result: JointResult) -> dict[str, dict[str, Measure]]:
    """Unit, such as "events" -> where they are counted, such as "both" -> the measure."""
    rows: dict[str, dict[str, Measure]] = {}
    for name, measure in result.measures.items():
        unit, counted = name.split(" ", 1)
        rows.setdefault(f"{unit}s", {})[counted] = measure
    return rows


def retrieval_rows(search: Sequence[TaskResult]) -> list[tuple[str, str, list[Measure | None]]]:
    """Direction, variant and a measure for each of `RETRIEVAL`; rows of a direction stand together."""
    rows = [
        (
            f"{row.source} → {row.target}",
            variant(result),
            [row if row.metric == name else row.others.get(name) for name in RETRIEVAL],
        )
        for result in search
        for row in result.directions
    ]
    order = list(dict.fromkeys(direction for direction, _, _ in rows))
    return sorted(rows, key=lambda row: order.index(row[0]))
