"""The transfer table: which modality the head learned on, which it was tested on, refined and not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.evaluation.results import TaskResult, decimal
from unicode_cmg.inspect.plain_text import aligned
from unicode_cmg.results import DirectionResult, Measure, in_percent


class Score(NamedTuple):
    """One direction under one variant (see `variant`), and its gain in points above the variant without
    refinement.

    The gain is None where that comparison makes no sense.
    """

    label: str
    row: DirectionResult
    gain: float | None


def spread(measure: Measure, name: str = "") -> str:
    """The mean, and the standard deviation if there are several seeds, of a measure of this name."""
    deviation = "" if measure.std is None else f" ± {decimal(measure.std, name)}"
    return decimal(measure.mean, name) + deviation


def unit(metric: str) -> str:
    """What a measure is told in, as it follows its name."""
    return " in percent" if in_percent(metric) else ""


def full_scale(row: DirectionResult) -> float:
    """The mean as a share of the best that is possible, within 0 and 1."""
    return min(max(row.mean / (100 if in_percent(row.metric) else 1), 0.0), 1.0)


def without_codes(row: DirectionResult) -> list[tuple[str, Measure]]:
    """What the same heads reach with renamed codes, before quantization and on the features, by name."""
    found = {
        "codes shuffled": row.shuffled,
        "before quantization": row.continuous,
        "on the input features": row.raw,
    }
    return [(name, measure) for name, measure in found.items() if measure is not None]


@dataclass(frozen=True)
class TransferTable:
    """All evaluations of one task under one protocol.

    Attributes:
        task, protocol: Of the evaluations.
        modalities: Names of the rows and columns.
        cells: `(source, target)` -> one score per variant, all dimensions first.
        results: The evaluations, in the order of the scores in a cell.
    """

    task: str
    protocol: str
    modalities: list[str]
    cells: dict[tuple[str, str], list[Score]]
    results: list[TaskResult]

    @property
    def metric(self) -> str:
        """What the scores are, such as `accuracy`."""
        return self.results[0].directions[0].metric.replace("_", " ").replace("f1", "F1")

    @property
    def floors(self) -> str:
        """What needs no codes, in percent of the metric."""
        first = self.results[0]
        if first.chance is not None and first.majority is not None:
            return f"chance {first.chance:.1f}, always the most frequent class {first.majority:.1f}"
        constants = (
            f"{row.source} -> {row.target} {decimal(row.constant, row.metric)}"
            for row in first.directions
            if row.kind == "transfer" and row.constant is not None
        )
        return f"always the same answer: {', '.join(constants)}"

    def crossings(self) -> list[tuple[str, str]]:
        """Directions between two different modalities."""
        return [pair for pair in self.cells if pair[0] != pair[1]]


def transfer_tables(evaluations: Iterable[TaskResult]) -> list[TransferTable]:
    """One table per task and protocol of those that train heads, in the order of their names."""
    groups: dict[tuple[str, str], list[TaskResult]] = {}
    for result in evaluations:
        if result.head is not None:
            groups.setdefault((result.task, result.protocol), []).append(result)
    return [_table(task, protocol, group) for (task, protocol), group in sorted(groups.items())]


def variant(result: TaskResult) -> str:
    """What sets an evaluation apart: the code layers and dimensions its heads saw, or being the control."""
    if result.permute_codes_seed is not None:
        return "codes shuffled"
    parts = [", ".join(result.code_layers)] if _chosen_layers(result) else []
    if result.toc is not None:
        kept = ", ".join(f"{layer.kept} of {layer.n_dims}" for layer in result.toc)
        parts.append(f"TOC, {kept}" + ", requantized" * (result.toc[0].use == "requantize"))
    if result.merge is not None:
        parts.append("merged, " + ", ".join(f"{m.n_groups} of {m.n_codes} codes" for m in result.merge))
    return "; ".join(parts) or "all dimensions"


def _chosen_layers(result: TaskResult) -> bool:
    return len(result.code_layers) < len(result.checkpoint.code_layers)


def _rank(result: TaskResult) -> tuple[bool, bool, bool, bool]:
    refined = (result.merge is not None, result.toc is not None)
    return result.permute_codes_seed is not None, *refined, _chosen_layers(result)


def _table(task: str, protocol: str, results: Sequence[TaskResult]) -> TransferTable:
    results = sorted(results, key=_rank)
    cells: dict[tuple[str, str], list[Score]] = {}
    for result in results:
        for row in result.directions:
            if result.permute_codes_seed is not None and row.source == row.target:
                continue  # the control leaves these alone
            scores = cells.setdefault((row.source, row.target), [])
            shuffled, *refinements, other_layers = _rank(result)
            compared = (
                scores and any(refinements) and not (shuffled or other_layers or any(_rank(results[0])))
            )
            gain = row.mean - scores[0].row.mean if compared else None
            scores.append(Score(variant(result), row, gain))
    names = dict.fromkeys(name for pair in cells for name in pair)
    return TransferTable(task, protocol, list(names), cells, results)


def transfer_text(tables: Sequence[TransferTable]) -> str:
    """The tables as plain text, for a terminal."""
    parts = []
    for table in tables:
        seeds = len(table.results[0].seeds)
        name = table.results[0].directions[0].metric
        about = f"{table.metric}{' in %' if in_percent(name) else ''}, mean ± std of {seeds} seeds"
        rows = [["trained on -> tested on", *(variant(result) for result in table.results)]]
        for pair in sorted(table.cells, key=lambda pair: pair[0] == pair[1]):
            scores = [spread(score.row, name) for score in table.cells[pair]]
            rows.append([" -> ".join(pair), *scores, *[""] * (len(table.results) - len(scores))])
        heading = f"{table.task}, protocol {table.protocol}: {about}"
        parts.append("\n".join([heading, aligned(rows), table.floors]))
    return "\n\n".join(parts)
