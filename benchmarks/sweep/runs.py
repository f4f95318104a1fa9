"""The runs of a sweep: models are pretrained and measured in several processes, results kept on disk."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.evaluation.encode_task import encode_task
from benchmarks.refinement import ALL, RefinedResult, chosen, compare
from benchmarks.sweep.cluster import Cluster
from benchmarks.sweep.code_figures import Figures, measure_codes, measure_vectors
from benchmarks.sweep.config import SweepConfig, protocol_of
from benchmarks.sweep.result_file import ResultFile
from benchmarks.sweep.rows import Row
from benchmarks.tasks import read_task
from unicode_cmg.console import show
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.model import Model


@dataclass(frozen=True)
class Outcome:
    """What one run contributes to one row of the table.

    Attributes:
        row: Name of the row.
        seed: Pretraining seed, or number of the checkpoint.
        seconds: Wall-clock time of pretraining alone; None where that happened elsewhere.
        scores: Task -> (source, target) -> percent with all dimensions, mean over the seeds of the heads.
        figures: Percent of what `figures_of` tells of the row's first code layer, and of what
            `measure_vectors` tells of all; empty where nothing was measured.
        refined: Task -> all dimensions, every refinement and every choice.
    """

    row: str
    seed: int
    seconds: float | None
    scores: Mapping[str, Mapping[tuple[str, str], float]]
    figures: Figures = field(default_factory=dict)
    refined: Mapping[str, Sequence[RefinedResult]] = field(default_factory=dict)


def run_sweep(
    sweep: SweepConfig,
    rows: Sequence[Row],
    *,
    to: Path,
    data: Path | None = None,
    recipe: str | None = None,
    seeds: Sequence[int] | None = None,
    workers: int = 1,
    threads: int = 1,
    cluster: Cluster | None = None,
) -> list[Outcome]:
    """Evaluate every model of every row, and pretrain those that do not exist yet.

    A result that is already under `to` is read instead of measured again, so an interrupted sweep resumes.

    Args:
        sweep: What to measure.
        rows: What to compare.
        to: Folder of the runs.
        data: Folder of the data sets; models are pretrained on the feature store `pretrain` in it. None: the
            embedded digits that the sweep names, which are written under `to` once.
        recipe: Recipe of the embedded digits instead of that of the sweep; not for rows with data of their
            own.
        seeds: Pretraining seeds instead of those of the sweep.
        workers: Processes or jobs at a time; 1 without a cluster: all in this process.
        threads: Threads of each process.
        cluster: Where each run that lacks a result is a job of its own; None: on this machine.

    Raises:
        InputError: A folder holds another run, the data does not fit, or jobs of a cluster have failed.
    """
    if data is not None and recipe is not None:
        raise InputError("both a folder of data and a recipe", where="--data", fix="leave one of them out")
    places = {row.name: _place(row, data, recipe or sweep.digits, to) for row in rows}
    jobs = [
        partial(_outcomes, sweep, row, run, *places[row.name], to / row.folder / f"seed-{run}", threads)
        for row in rows
        for run in row.runs(sweep.seeds if seeds is None else seeds)
    ]
    outcomes: dict[int, list[Outcome]] = {}
    for number, finished in _finished(jobs, workers) if cluster is None else _sent(jobs, workers, cluster):
        outcomes[number] = finished
        for outcome in finished:
            show(_line(outcome))
    return [outcome for number in sorted(outcomes) for outcome in outcomes[number]]


def _place(row: Row, data: Path | None, recipe: str | None, to: Path) -> tuple[Path, str | None]:
    """The folder of the data of a row, and the recipe of the embedded digits, which are written once."""
    if row.data.folder is not None or (row.data.digits is None and data is not None):
        return row.data.folder or data or to, None
    recipe = row.data.digits or recipe
    if recipe is None:
        raise InputError("no data", where="--data", expected="the folder of the data sets")
    root = to / f"data-{recipe}"
    if not (root / "digits.json").exists():
        from unicode_cmg.data.digits import write_digits

        write_digits(root, recipe=recipe, seed=0)
    return root, recipe


def _finished(
    jobs: Sequence[Callable[[], list[Outcome]]], workers: int
) -> Iterator[tuple[int, list[Outcome]]]:
    """The number and the outcomes of each job, as they finish."""
    if workers == 1:
        for number, job in enumerate(jobs):
            yield number, job()
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(job): number for number, job in enumerate(jobs)}
        try:
            for done in as_completed(futures):
                yield futures[done], done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _sent(
    jobs: Sequence[partial[list[Outcome]]], workers: int, cluster: Cluster
) -> Iterator[tuple[int, list[Outcome]]]:
    """The number and the outcomes of each job; what is measured already is read here."""
    holes: dict[int, Callable[[], list[Outcome]]] = {}
    for number, job in enumerate(jobs):
        if _is_measured(*job.args):
            yield number, job()
        else:
            holes[number] = job
    yield from cluster.run(holes, at_a_time=workers)


def _outcomes(
    sweep: SweepConfig, row: Row, run: int, data: Path, recipe: str | None, folder: Path, threads: int
) -> list[Outcome]:
    """The table rows that one run gives; what its result file lacks is measured first."""
    results, tasks = _results(sweep, row, run, data, recipe, folder), row.data.tasks or sweep.tasks
    if _lacks(results, sweep, row):
        threads_before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            model, seconds = row.model(run, data, folder)
            results.seconds = results.seconds or seconds
            for read, layers in row.read.items():
                _measure(model, read, layers, results, sweep, tasks, data, row.data.options)
        finally:
            torch.set_num_threads(threads_before)
    outcomes = []
    for read in row.read:
        refined = {task: results.rows(read, task, sweep.refine) for task in tasks}
        outcomes.append(
            Outcome(
                row=row.label(read),
                seed=run,
                seconds=results.seconds,
                scores={
                    task: {(r.source, r.target): r.mean for r in found if r.refinement == ALL}
                    for task, found in refined.items()
                },
                figures=results.figures.get(read, {}),
                refined={task: [*found, *chosen(found, sweep.choose)] for task, found in refined.items()},
            )
        )
    return outcomes


def _results(
    sweep: SweepConfig, row: Row, run: int, data: Path, recipe: str | None, folder: Path
) -> ResultFile:
    """What a run has measured so far."""
    settings = {
        **row.identity(run, data),
        **sweep.model_dump(mode="json", include={"head", "head_seeds", "directions"}),
        "digits": recipe,
        "options": dict(row.data.options),
        **({"continuous": True} if sweep.continuous else {}),
    }
    measured = sweep.report if sweep.protocol == "held-out" else f"{sweep.report}-{sweep.protocol}"
    return ResultFile(folder / f"result-{measured}.json", settings, row.completed)


def _lacks(results: ResultFile, sweep: SweepConfig, row: Row) -> bool:
    """Whether there is something left to measure."""
    tasks = row.data.tasks or sweep.tasks
    return any(results.missing(read, task, sweep.refine) is not None for read in row.read for task in tasks)


def _is_measured(
    sweep: SweepConfig, row: Row, run: int, data: Path, recipe: str | None, folder: Path, threads: int
) -> bool:
    """Whether `_outcomes` has nothing to do but read."""
    return not _lacks(_results(sweep, row, run, data, recipe, folder), sweep, row)


def _measure(
    model: Model,
    read: str,
    wanted: Sequence[str],
    results: ResultFile,
    sweep: SweepConfig,
    tasks: Sequence[str],
    data: Path,
    options: Mapping[str, Any],
) -> None:
    """Measure and keep, task by task, what the results lack of the code layers `wanted`, named `read`.

    Raises:
        InputError: The model has no such code layer, or the data does not fit.
    """
    known = tuple(model.code_layers())
    meant = {name: [k for k in known if k == name or k.startswith(f"{name}.")] for name in wanted or known}
    for name, found in meant.items():
        if not found:
            raise unknown("code layer", name, known, where="sweep: read")
    layers = tuple(k for k in known if any(k in found for found in meant.values()))
    if read not in results.figures:
        results.figures[read] = measure_codes(model, data, sweep.report, layers[0])
    for task in tasks:
        refiners = results.missing(read, task, sweep.refine)
        if refiners is None:
            continue
        opened = read_task(task, data, **options)
        protocol = protocol_of(sweep.protocol, opened.protocols, where=f"task {task}")
        encoded = encode_task(
            model,
            opened,
            opened.rule(protocol).reporting_on(sweep.report),
            sweep.directions,
            layers,
            with_unquantized=any(refiner.requantizes for refiner in refiners.values()),
            continuous=sweep.continuous,
        )
        if sweep.continuous:
            results.figures[read] |= measure_vectors(encoded, task, sweep.head_seeds, sweep.head)
        rows = compare(encoded, refiners, sweep.head_seeds, sweep.head)
        results.add(read, task, rows, refiners)


def _line(outcome: Outcome) -> str:
    scores = "; ".join(
        f"{task} " + ", ".join(f"{s[0]}->{t[0]} {value:.1f}" for (s, t), value in by_direction.items())
        for task, by_direction in outcome.scores.items()
    )
    seconds = "" if outcome.seconds is None else f" ({outcome.seconds:.0f} s)"
    return f"{outcome.row}, seed {outcome.seed}: {scores}{seconds}"
