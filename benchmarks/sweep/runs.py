"""The runs of a sweep, several processes at a time, each result kept on disk."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.heads import HeadConfig
from benchmarks.sweep.plan import Row
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, write_json

Direction = tuple[str, str]


@dataclass(frozen=True)
class Measurements:
    """What is measured of every run.

    Attributes:
        tasks: Names of tasks.
        directions: Such as `video->audio`.
        report: Split of the numbers.
        head: How heads train; None: the protocol's way.
    """

    tasks: tuple[str, ...]
    directions: tuple[str, ...]
    report: Literal["val", "test"]
    head: HeadConfig | None = None


@dataclass(frozen=True)
class Outcome:
    """What one row of the table says of one pretraining run.

    Attributes:
        row: Name of the row.
        seed: Pretraining seed.
        seconds: Wall-clock time of pretraining alone.
        scores: Task -> (source, target) -> percent, mean over the seeds of the heads.
        same_code: Percent of event seconds in which audio and video have the same code of the row's first
            code layer; None where that was not measured.
    """

    row: str
    seed: int
    seconds: float
    scores: Mapping[str, Mapping[Direction, float]]
    same_code: float | None


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
    """Pretrain every row with every seed and evaluate it.

    A run whose result is already under `to` is read instead of repeated, so an interrupted sweep goes on.

    Args:
        rows: What to compare.
        seeds: Pretraining seeds; heads always use seeds 0, 1 and 2.
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
                _outcomes, row, seed, data, to / _folder(row.name) / f"seed-{seed}", measure, threads
            ): i
            for i, (row, seed) in enumerate((row, seed) for row in rows for seed in seeds)
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
    row: Row, seed: int, data: Path, folder: Path, measure: Measurements, threads: int
) -> list[Outcome]:
    """The rows of the table that one run gives."""
    config = row.pretraining(f"data.store={data / 'pretrain'}", f"training.seed={seed}")
    settings = {
        # where the data lies says nothing about the run
        **{key: value for key, value in config.model_dump(mode="json").items() if key != "data"},
        "head": None if measure.head is None else measure.head.model_dump(mode="json"),
        "directions": list(measure.directions),
    }
    file = folder / f"result-{measure.report}.json"
    if file.exists():
        kept = read_json(file)
        if kept["settings"] != settings:
            raise InputError("holds a run with other settings", where=folder, fix="choose another --to")
    else:
        kept = {"settings": settings, "seconds": None, "rows": {}}
    missing = {
        (suffix, task)
        for suffix in row.read
        for task in measure.tasks
        if task not in kept["rows"].get(suffix, {}).get("scores", {})
    }
    if missing:
        _measure(kept, config, row, data, folder, measure, threads)
        write_json(file, kept)
    return [
        Outcome(
            row=f"{row.name}, {suffix}" if suffix else row.name,
            seed=seed,
            seconds=kept["seconds"],
            scores={
                task: {(s, t): value for s, t, value in kept["rows"][suffix]["scores"][task]}
                for task in measure.tasks
            },
            same_code=kept["rows"][suffix]["same_code"],
        )
        for suffix in row.read
    ]


def _measure(
    kept: dict[str, Any], config: Any, row: Row, data: Path, folder: Path, measure: Measurements, threads: int
) -> None:
    import torch

    from benchmarks import code_usage, evaluate
    from benchmarks.tasks import resolve_protocol
    from unicode_cmg import load_pretrained
    from unicode_cmg.training import fit

    torch.set_num_threads(threads)
    run = fit(config, folder, resume="auto", progress=False)
    kept["seconds"] = run.seconds
    model = load_pretrained(run.model)
    for suffix, chosen in row.read.items():
        layers = _layers(chosen, tuple(model.code_layers()))
        entry = kept["rows"].setdefault(suffix, {"scores": {}, "same_code": None})
        for task in measure.tasks:
            result = evaluate(
                model,
                task,
                data,
                protocol=resolve_protocol("held-out", task).reporting_on(measure.report),
                head=measure.head,
                directions=measure.directions,
                layers=layers,
            )
            entry["scores"][task] = [[d.source, d.target, d.mean] for d in result.directions]
        if {"audio", "video"} <= set(model.modalities):
            usage = code_usage(model, data, split=measure.report, layer=layers[0])
            same = {frozenset(a.modalities): a.steps for a in usage.agreement}
            entry["same_code"] = 100 * (same[frozenset({"audio", "video"})] or 0.0)


def _layers(chosen: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The code layers meant by names of layers; all of them by none."""
    if not chosen:
        return known
    found = tuple(k for k in known if any(k == name or k.startswith(f"{name}.") for name in chosen))
    if not found:
        raise InputError(
            f"no code layer '{chosen[0]}'", where="sweep: read", expected=f"some of {', '.join(known)}"
        )
    return found


def _folder(name: str) -> str:
    """A folder name for a row: readable, and different for different rows."""
    plain = "".join(c if c.isalnum() else "-" for c in name).strip("-")
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _line(outcome: Outcome) -> str:
    scores = "; ".join(
        f"{task} " + ", ".join(f"{s[0]}->{t[0]} {value:.1f}" for (s, t), value in by_direction.items())
        for task, by_direction in outcome.scores.items()
    )
    return f"{outcome.row}, seed {outcome.seed}: {scores} ({outcome.seconds:.0f} s)"
