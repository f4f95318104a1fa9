"""The sections of the tasks: for each, its transfer tables and what lies behind their numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.evaluation.results import TaskResult
from benchmarks.report.by_class import ClassView, class_view
from benchmarks.report.confusion import ConfusionMap, confusion_maps
from benchmarks.report.joint import JointView, joint_views
from benchmarks.report.retrieval import RetrievalView, retrieval_views
from benchmarks.report.timelines import TimelineView, timeline_views
from benchmarks.report.transfer import TransferTable, variant

_TITLES = {
    "ave": "AVE: which event is in the clip?",
    "avvp": "AVVP: which events are in each second?",
    "ave-avvp": "AVE to AVVP: trained on the events of one data set, tested on another",
    "ucf-vgg": "UCF101 and VGGSound: seen in one data set, heard in another",
    "retrieval-clotho": "Clotho: find the sound to a caption",
    "retrieval-coco": "MSCOCO: find the picture to a caption",
    "retrieval-flickr-sound": "FlickrSound: find the picture to a sound",
    "retrieval-msvd": "MSVD: find the clip to a caption",
    "retrieval-valor": "VALOR: find the clip to a caption",
}


@dataclass(frozen=True)
class ProtocolView:
    """A transfer table, and the details of its first evaluation.

    Attributes:
        table: The scores of all evaluations.
        details_of: What sets the first of several evaluations apart; empty where it is the only one.
        confusion, by_class, timelines, joint: Its details; empty where the result has none.
        leaks, cautions: Of the protocol.
    """

    table: TransferTable
    details_of: str
    confusion: list[ConfusionMap]
    by_class: ClassView | None
    timelines: list[TimelineView]
    joint: list[JointView]
    leaks: tuple[str, ...]
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class TaskView:
    """The section of one task; of retrieval it has `retrieval`, of others `protocols`."""

    id: str
    name: str
    title: str
    protocols: list[ProtocolView]
    retrieval: list[RetrievalView]


def task_views(tables: Sequence[TransferTable], evaluations: Iterable[TaskResult]) -> list[TaskView]:
    """A section for each task that has results.

    Args:
        tables: The transfer tables of the evaluations.
        evaluations: All of them; those without heads are retrieval.
    """
    searches = [result for result in evaluations if result.head is None]
    names = sorted({table.task for table in tables} | {result.task for result in searches})
    return [
        TaskView(
            id=f"task-{re.sub(r'[^a-z0-9]+', '-', name.lower())}",
            name=name,
            title=_TITLES.get(name, name),
            protocols=[_protocol(table) for table in tables if table.task == name],
            retrieval=retrieval_views(result for result in searches if result.task == name),
        )
        for name in names
    ]


def _protocol(table: TransferTable) -> ProtocolView:
    result = table.results[0]
    shown = result.directions, result.classes, table.modalities
    return ProtocolView(
        table=table,
        details_of=variant(result) if len(table.results) > 1 else "",
        confusion=confusion_maps(*shown),
        by_class=class_view(*shown),
        timelines=timeline_views(*shown),
        joint=joint_views(result.joint),
        leaks=result.leaks,
        cautions=tuple(dict.fromkeys(c for r in table.results for c in r.cautions)),
    )
