"""The section of a retrieval task: how far up the right answer stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.evaluation.results import DirectionResult, Measure, TaskResult
from benchmarks.report.transfer import variant

_COLUMNS = ("R@1", "R@5", "R@10", "median rank", "mean rank")


@dataclass(frozen=True)
class RetrievalRow:
    """One direction of one evaluation: a measure for each column, None if it was not made."""

    direction: str
    variant: str
    measures: list[Measure | None]


@dataclass(frozen=True)
class RetrievalView:
    """All evaluations of one set under one protocol.

    Attributes:
        protocol: Its name.
        percent: Of the intervals; None where there are none.
        columns, rows: The table; measures of the same direction stand together.
        searched: What was searched, such as "200 test clips".
        leaks, cautions: Of the protocol.
    """

    protocol: str
    percent: float | None
    columns: tuple[str, ...]
    rows: list[RetrievalRow]
    searched: str
    leaks: tuple[str, ...]
    cautions: tuple[str, ...]


def retrieval_views(results: Iterable[TaskResult]) -> list[RetrievalView]:
    """A view for each protocol, from evaluations of one task."""
    groups: dict[str, list[TaskResult]] = {}
    for result in results:
        groups.setdefault(result.protocol, []).append(result)
    return [_view(protocol, group) for protocol, group in sorted(groups.items())]


def _view(protocol: str, group: list[TaskResult]) -> RetrievalView:
    group = sorted(group, key=lambda r: (r.permute_codes_seed is not None, r.toc is not None))
    first = group[0]
    rows = [
        RetrievalRow(f"{row.source} → {row.target}", variant(result), [_measure(row, c) for c in _COLUMNS])
        for result in group
        for row in result.directions
    ]
    order = list(dict.fromkeys(row.direction for row in rows))
    return RetrievalView(
        protocol=protocol,
        percent=None if first.bootstrap is None else first.bootstrap.percent,
        columns=_COLUMNS,
        rows=sorted(rows, key=lambda row: order.index(row.direction)),
        searched=", ".join(f"{count} {name}" for name, count in first.data.counts.items()),
        leaks=first.leaks,
        cautions=first.cautions,
    )


def _measure(row: DirectionResult, name: str) -> Measure | None:
    return row if row.metric == name else row.others.get(name)
