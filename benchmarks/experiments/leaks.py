"""How much each leak of the papers' protocols is worth: from `held-out` to `paper`, one change at a time.

usage: python -m benchmarks.experiments.leaks RUN... --data ROOT

Every checkpoint is evaluated under `held-out`. The next evaluations change one thing more each: scores as
the released scripts compute them, the epoch that is best on the reported clips, the papers' clips, and the
papers' epochs. There is one Markdown table for each task; numbers are means over the checkpoints, ± their
sample standard deviation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.evaluation.evaluate import evaluate
from benchmarks.evaluation.protocols import HeadProtocol, Protocol
from benchmarks.markdown import markdown_table
from benchmarks.sweep.tables import mean_std
from benchmarks.tasks import available_protocols, available_tasks, read_task, task_class
from benchmarks.tasks.retrieval import RetrievalProtocol
from unicode_cmg import load_pretrained
from unicode_cmg.console import run_command
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.model import Model
from unicode_cmg.results import DirectionResult

_DIRECTIONS = ("video->audio", "audio->video", "video->video", "audio->audio")


@dataclass(frozen=True)
class Step:
    """One more change between `held-out` and a `paper` protocol.

    Attributes:
        change: What differs from the previous step.
        rule: The protocol.
        measure: Which number of a result to show: its metric, or another measure.
    """

    change: str
    rule: Protocol
    measure: str


def steps(task: str, paper: str) -> Iterator[Step]:
    """The steps from `held-out` to one of the `paper` protocols of a task.

    Raises:
        InputError: There is no such task or protocol.
    """
    known = task_class(task).protocols
    if paper not in known:
        raise unknown("protocol", paper, known, where=f"task {task}")
    clean, leaky = known["held-out"], known[paper]
    if isinstance(clean, HeadProtocol) and isinstance(leaky, HeadProtocol):
        metric = leaky.objective.metric
        ours = {"precision": "precision_micro", "f1": "f1_micro"}.get(metric, metric)
        yield Step("held-out", clean, ours)
        rule = clean
        if type(clean.objective) is not type(leaky.objective):
            rule = replace(rule, name="scored as released", objective=leaky.objective)
            yield Step("scored as released (P5)", rule, metric)
        rule = replace(rule, name="best epoch", select=rule.report, select_on="target")
        yield Step("epoch best on the reported clips (P3)", rule, metric)
        numbers = dict.fromkeys(leak.split(":")[0] for leak in leaky.leaks)
        clips = ", ".join(number for number in numbers if number not in ("P3", "P5"))
        yield Step(f"its clips ({clips})", replace(leaky, name="its clips", head=clean.head), metric)
        yield Step(f"its epochs (P8): {paper}", leaky, metric)
    elif isinstance(clean, RetrievalProtocol):
        yield Step("held-out", clean, "R@10")
        yield Step("ties as the sort leaves them (P14)", replace(clean, released=True), "R@10")
        if len(leaky.leaks) > 1:
            number = leaky.leaks[0].split(":")[0]
            yield Step(f"its captions ({number}): {paper}", leaky, "R@10")


def leak_table(task: str, paper: str, models: Sequence[Model], data_root: Path) -> str:
    """The table of one task: all steps, as means over all checkpoints.

    Args:
        task: Name of the task.
        paper: Name of the protocol that the steps end with.
        models: Checkpoints to average over.
        data_root: As for `evaluate`.

    Raises:
        InputError: The data is damaged or does not fit a model.
    """
    lines: list[list[str]] = []
    header = [f"{task}, {paper}"]
    directions = None if isinstance(task_class(task).protocols[paper], RetrievalProtocol) else _DIRECTIONS
    for step in steps(task, paper):
        results = [
            evaluate(m, task, data_root, step.rule, directions=directions, continuous=False) for m in models
        ]
        rows = list(zip(*(result.directions for result in results), strict=True))
        header[1:] = ["measure", *(f"{row[0].source[0].upper()}->{row[0].target[0].upper()}" for row in rows)]
        cells = [mean_std([_value(result, step.measure) for result in row]) for row in rows]
        lines.append([step.change, step.measure.replace("_", " "), *cells])
    return markdown_table(header, lines)


def _value(row: DirectionResult, measure: str) -> float:
    return row.mean if row.metric == measure else row.others[measure].mean


def leaks(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of models.")],
    data: Annotated[Path, typer.Option(help="Folder of the data sets; tasks without data are skipped.")],
) -> None:
    """Print how much each leak is worth: a table for each task and each of its paper protocols."""
    models = [load_pretrained(run) for run in runs]
    for task in available_tasks():
        try:
            read_task(task, data)
        except InputError as error:
            print(f"{task}: skipped, {error}", file=sys.stderr)
            continue
        for paper in available_protocols(task)[1:]:
            print(leak_table(task, paper, models, data), flush=True)


if __name__ == "__main__":
    run_command(leaks)
