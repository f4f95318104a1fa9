"""The runs of a sweep, several processes at a time, each result kept on disk."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.evaluation.heads import HeadConfig
from benchmarks.refinement import Way
from benchmarks.refinement.choice import Choice, chosen
from benchmarks.refinement.comparison import ALL, RefinedResult
from benchmarks.sweep.kept import KeptResults
from benchmarks.sweep.rows import Row

Direction = tuple[str, str]


@dataclass(frozen=True)
class Measurements:
    """What is measured of every run.

    Attributes:
        tasks: Names of tasks.
        directions: Such as `video->audio`.
        report: Split of the numbers.
        head: How heads train; None: the protocol's way.
        head_seeds: Seeds of the heads.
        refine: Name -> a way to refine the codebooks.
        choose: Name -> a refinement to choose among others.
    """

    tasks: tuple[str, ...]
    directions: tuple[str, ...]
    report: Literal["val", "test"]
    head: HeadConfig | None = None
    head_seeds: tuple[int, ...] = (0, 1, 2)
    refine: Mapping[str, Way] = field(default_factory=dict)
    choose: Mapping[str, Choice] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What one row of the table says of one run.

    Attributes:
        row: Name of the row.
        seed: Pretraining seed, or number of the checkpoint.
        seconds: Wall-clock time of pretraining alone; None where that happened elsewhere.
        scores: Task -> (source, target) -> percent with all dimensions, mean over the seeds of the heads.
        same_code: Percent of event seconds in which audio and video have the same code of the row's first
            code layer; None where that was not measured.
        refined: Task -> all dimensions, every refinement and every choice.
    """

    row: str
    seed: int
    seconds: float | None
    scores: Mapping[str, Mapping[Direction, float]]
    same_code: float | None
    refined: Mapping[str, Sequence[RefinedResult]] = field(default_factory=dict)


def run_rows(
    rows: Sequence[Row],
    seeds: Sequence[int],
    *,
    data: Path,
    to: Path,
    measure: Measurements,
    workers: int = 1,
    threads: int = 1,
) -> list[Outcome]:
    """Evaluate every model of every row, and pretrain those that are not there.

    A result that is already under `to` is read instead of measured again, so an interrupted sweep goes on.

    Args:
        rows: What to compare.
        seeds: Pretraining seeds.
        data: Folder of the data sets; its feature store `pretrain` is trained on.
        to: Folder of the runs.
        measure: What to measure.
        workers: Processes at a time.
        threads: Threads of each process.

    Raises:
        InputError: A folder holds another run, or the data does not fit.
    """
    outcomes: list[tuple[int, Outcome]] = []
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {
            pool.submit(
                _outcomes, row, run, data, to / _folder(row.name) / f"seed-{run}", measure, threads
            ): i
            for i, (row, run) in enumerate((row, run) for row in rows for run in row.runs(seeds))
        }
        try:
            for done in as_completed(futures):
                for outcome in done.result():
                    outcomes.append((futures[done], outcome))
                    print(_line(outcome), flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [outcome for _, outcome in sorted(outcomes, key=lambda pair: pair[0])]


def _outcomes(
    row: Row, run: int, data: Path, folder: Path, measure: Measurements, threads: int
) -> list[Outcome]:
    """The rows of the table that one run gives."""
    settings = {
        **row.identity(run, data),
        "head": None if measure.head is None else measure.head.model_dump(mode="json"),
        "head_seeds": list(measure.head_seeds),
        "directions": list(measure.directions),
    }
    kept = KeptResults.open(folder / f"result-{measure.report}.json", settings, row.completed)
    if any(
        kept.missing(suffix, task, measure.refine) is not None
        for suffix in row.read
        for task in measure.tasks
    ):
        import torch

        from benchmarks.sweep.measure import measure_run

        torch.set_num_threads(threads)
        model = row.model(run, data, folder)
        kept.seconds = kept.seconds or model.seconds
        for suffix, layers in row.read.items():
            measure_run(model.method, suffix, layers, kept, measure, data)
    outcomes = []
    for suffix in row.read:
        refined = {task: kept.rows(suffix, task, measure.refine) for task in measure.tasks}
        outcomes.append(
            Outcome(
                row=row.label(suffix),
                seed=run,
                seconds=kept.seconds,
                scores={
                    task: {(r.source, r.target): r.mean for r in rows if r.refinement == ALL}
                    for task, rows in refined.items()
                },
                same_code=kept.same_code(suffix),
                refined={task: [*rows, *chosen(rows, measure.choose)] for task, rows in refined.items()},
            )
        )
    return outcomes


def _folder(name: str) -> str:
    """A folder name for a row: readable, and different for different rows."""
    plain = "".join(c if c.isalnum() else "-" for c in name).strip("-")
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _line(outcome: Outcome) -> str:
    scores = "; ".join(
        f"{task} " + ", ".join(f"{s[0]}->{t[0]} {value:.1f}" for (s, t), value in by_direction.items())
        for task, by_direction in outcome.scores.items()
    )
    seconds = "" if outcome.seconds is None else f" ({outcome.seconds:.0f} s)"
    return f"{outcome.row}, seed {outcome.seed}: {scores}{seconds}"
