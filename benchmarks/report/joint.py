"""Measures of two modalities of the same clips together, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.evaluation.results import JointResult, Measure
from benchmarks.report.transfer import Score


@dataclass(frozen=True)
class JointView:
    """What the heads of each modality reach.

    Attributes:
        targets: The two modalities.
        clips: Clips that have both.
        columns: What is counted.
        rows: Modality of the heads, the unit that is counted, and the scores.
    """

    targets: tuple[str, str]
    clips: int
    columns: list[str]
    rows: list[tuple[str, str, list[Score]]]


def joint_views(results: Sequence[JointResult]) -> list[JointView]:
    """A table for every two modalities; measures are named by their unit and what is counted."""
    views = []
    for targets in dict.fromkeys(result.targets for result in results):
        group = [result for result in results if result.targets == targets]
        columns = list(dict.fromkeys(name.split(" ", 1)[1] for result in group for name in result.measures))
        rows = []
        for result in group:
            for unit in dict.fromkeys(name.split(" ", 1)[0] for name in result.measures):
                measures = [result.measures[f"{unit} {column}"] for column in columns]
                rows.append((result.source, f"{unit}s", [_score(measure) for measure in measures]))
        views.append(JointView(targets, group[0].clips, columns, rows))
    return views


def _score(measure: Measure) -> Score:
    return Score("", measure.mean, measure.std, None, measure.interval)
