"""The sections of the tasks: for each, its transfer tables and what lies behind their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.evaluation.results import TaskResult
from benchmarks.report.classes import ClassView, ConfusionMap, class_view, confusion_maps
from benchmarks.report.timelines import TimelineView, timeline_views
from benchmarks.report.transfer import TransferTable, variant
from unicode_cmg.results import DirectionResult, JointResult, Measure

_DATA_SETS = {
    "ave": ("AVE", "which event is in the clip?"),
    "avvp": ("AVVP", "which events are in each second?"),
    "ave-avvp": ("AVE to AVVP", "trained on the events of one data set, tested on another"),
    "ucf-vgg": ("UCF101 and VGGSound", "seen in one data set, heard in another"),
    "retrieval-clotho": ("Clotho", "find the sound to a caption"),
    "retrieval-coco": ("MSCOCO", "find the picture to a caption"),
    "retrieval-flickr-sound": ("FlickrSound", "find the picture to a sound"),
    "retrieval-msvd": ("MSVD", "find the clip to a caption"),
    "retrieval-valor": ("VALOR", "find the clip to a caption"),
}
_RETRIEVAL = ("R@1", "R@5", "R@10", "median rank", "mean rank")


@dataclass(frozen=True)
class JointView:
    """What the heads of each modality reach on two modalities of the same clips together.

    Attributes:
        targets: The two modalities.
        clips: Clips that have both.
        columns: What is counted.
        rows: Modality of the heads, the unit that is counted, and the measures.
    """

    targets: tuple[str, str]
    clips: int
    columns: list[str]
    rows: list[tuple[str, str, list[Measure]]]


@dataclass(frozen=True)
class ProtocolView:
    """A transfer table, and the details of its first evaluation.

    Attributes:
        table: The scores of all evaluations.
        details_of: What sets the first of several evaluations apart; empty where it is the only one.
        confusion, by_class, timelines, joint: Its details; empty where the result has none.
        cautions: Those of all evaluations.
    """

    table: TransferTable
    details_of: str
    confusion: list[ConfusionMap]
    by_class: ClassView | None
    timelines: list[TimelineView]
    joint: list[JointView]
    cautions: list[str]


@dataclass(frozen=True)
class RetrievalView:
    """All evaluations of one retrieval task under one protocol.

    Attributes:
        first: The first of them, for what they have in common.
        columns: Names of the measures.
        rows: Direction, variant, and a measure for each column, None if it was not made; rows of the same
            direction stand together.
        searched: What was searched, such as "200 test".
    """

    first: TaskResult
    columns: tuple[str, ...]
    rows: list[tuple[str, str, list[Measure | None]]]
    searched: str


@dataclass(frozen=True)
class TaskView:
    """The section of one task; of retrieval it has `retrieval`, of others `protocols`."""

    id: str
    name: str
    title: str
    protocols: list[ProtocolView]
    retrieval: list[RetrievalView]


def task_views(
    tables: Sequence[TransferTable], evaluations: Iterable[TaskResult], *, digits: bool
) -> list[TaskView]:
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
    return [
        TaskView(
            id=f"task-{re.sub(r'[^a-z0-9]+', '-', name.lower())}",
            name=name,
            title=_title(name, digits),
            protocols=[_protocol_view(table) for table in tables if table.task == name],
            retrieval=[_retrieval_view(group) for _, group in sorted(searches.get(name, {}).items())],
        )
        for name in sorted({table.task for table in tables} | set(searches))
    ]


def _title(task: str, digits: bool) -> str:
    data_set, question = _DATA_SETS.get(task, (task, ""))
    data = f"Embedded digits in the layout of {data_set}" if digits else data_set
    return f"{data}: {question}" if question else data


def _protocol_view(table: TransferTable) -> ProtocolView:
    result = table.results[0]
    shown = result.directions, result.classes, table.modalities
    return ProtocolView(
        table=table,
        details_of=variant(result) if len(table.results) > 1 else "",
        confusion=confusion_maps(*shown),
        by_class=class_view(*shown),
        timelines=timeline_views(*shown),
        joint=_joint_views(result.joint),
        cautions=list(dict.fromkeys(c for r in table.results for c in r.cautions)),
    )


def _joint_views(results: Sequence[JointResult]) -> list[JointView]:
    """A table for every two modalities; measures are named by their unit and what is counted."""
    views = []
    for targets in dict.fromkeys(result.targets for result in results):
        group = [result for result in results if result.targets == targets]
        columns = list(dict.fromkeys(name.split(" ", 1)[1] for result in group for name in result.measures))
        rows = [
            (result.source, f"{unit}s", [result.measures[f"{unit} {column}"] for column in columns])
            for result in group
            for unit in dict.fromkeys(name.split(" ", 1)[0] for name in result.measures)
        ]
        views.append(JointView(targets, group[0].clips, columns, rows))
    return views


def _retrieval_view(group: Sequence[TaskResult]) -> RetrievalView:
    group = sorted(group, key=lambda r: (r.permute_codes_seed is not None, r.toc is not None))
    rows = [
        (f"{row.source} → {row.target}", variant(result), [_measure(row, name) for name in _RETRIEVAL])
        for result in group
        for row in result.directions
    ]
    order = list(dict.fromkeys(direction for direction, _, _ in rows))
    return RetrievalView(
        first=group[0],
        columns=_RETRIEVAL,
        rows=sorted(rows, key=lambda row: order.index(row[0])),
        searched=", ".join(f"{count} {name}" for name, count in group[0].data.counts.items()),
    )


def _measure(row: DirectionResult, name: str) -> Measure | None:
    return row if row.metric == name else row.others.get(name)
