"""Pretrain and evaluate many variants on the embedded digits, each result kept on disk."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.heads import HeadConfig
from unicode_cmg.config import apply_overrides, load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, write_json, write_text

CONFIG = Path(__file__).with_name("quickstart.yaml")
DIRECTIONS = (("video", "audio"), ("audio", "video"), ("video", "video"), ("audio", "audio"))
HEAD = HeadConfig(lr=1e-3, epochs=40, select="last")
"""The head the released code was measured with: Adam, read after its last epoch."""


@dataclass(frozen=True)
class Variant:
    """One row of a table: a name, and how its settings differ from the quickstart's, as for `--set`."""

    name: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """One pretraining run.

    Attributes:
        variant: Name of the variant.
        seed: Pretraining seed.
        seconds: Wall-clock time of pretraining alone.
        accuracy: (source, target) -> percent, mean over head seeds.
        same_code: Percent of event seconds in which audio and video have the same code; None: not measured.
    """

    variant: str
    seed: int
    seconds: float
    accuracy: Mapping[tuple[str, str], float]
    same_code: float | None

    @property
    def transfer(self) -> float:
        """Mean of V->A and A->V."""
        return statistics.mean([self.accuracy["video", "audio"], self.accuracy["audio", "video"]])


def digits_data(to: Path, recipe: Literal["default", "reference"], seed: int = 0) -> Path:
    """The digits data set under `to`, written once."""
    from unicode_cmg.data.digits import write_digits

    root = to / f"data-{recipe}-{seed}"
    if not (root / "digits.json").exists():
        write_digits(root, recipe=recipe, seed=seed)
    return root


def run_variants(
    variants: Sequence[Variant],
    seeds: Sequence[int],
    *,
    data: Path,
    to: Path,
    report: Literal["val", "test"],
    workers: int,
    threads: int,
) -> list[Outcome]:
    """Pretrain every variant with every seed and evaluate it on the AVE-like task.

    A run whose result is already under `to` is read instead of repeated, so an interrupted table goes on.

    Args:
        variants: What to compare.
        seeds: Pretraining seeds; heads always use seeds 0, 1 and 2.
        data: Folder written by `digits_data`.
        to: Folder of the runs.
        report: Split whose accuracy is read: `val` to choose settings, `test` to report.
        workers: Processes at a time.
        threads: Threads of each process.
    """
    jobs = [
        (v, s, data, to / v.name.replace(" ", "-") / f"seed-{s}", report, threads)
        for v in variants
        for s in seeds
    ]
    outcomes = []
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(_run, *job) for job in jobs]
        for done in as_completed(futures):
            outcome = done.result()
            outcomes.append(outcome)
            print(
                f"{outcome.variant}, seed {outcome.seed}: {outcome.transfer:.1f} in {outcome.seconds:.0f} s",
                flush=True,
            )
    order = {v.name: i for i, v in enumerate(variants)}
    return sorted(outcomes, key=lambda o: (order[o.variant], o.seed))


def _run(variant: Variant, seed: int, data: Path, folder: Path, report: str, threads: int) -> Outcome:
    result = folder / f"result-{report}.json"
    settings = (*variant.overrides, f"training.seed={seed}")
    if result.exists():
        kept = read_json(result)
        if kept["settings"] != list(settings):
            raise InputError("holds a run with other settings", where=folder, fix="choose another --to")
    else:
        kept = _pretrain_and_evaluate(settings, data, folder, report, threads)
        write_json(result, kept)
    accuracy = {(s, t): value for s, t, value in kept["accuracy"]}
    return Outcome(variant.name, seed, kept["seconds"], accuracy, kept["same_code"])


def _pretrain_and_evaluate(
    settings: Iterable[str], data: Path, folder: Path, report: str, threads: int
) -> dict[str, Any]:
    import torch

    from benchmarks import code_usage, evaluate
    from benchmarks.protocols import HELD_OUT
    from unicode_cmg import load_pretrained
    from unicode_cmg.training import PretrainConfig, fit

    torch.set_num_threads(threads)
    values = apply_overrides(load_yaml(CONFIG), [f"data.store={data / 'pretrain'}", *settings])
    run = fit(PretrainConfig.parse(values, where=CONFIG), folder, resume="auto", progress=False)
    model = load_pretrained(run.model)
    protocol = HELD_OUT.reporting_on(report)
    task = evaluate(model, "ave", data, protocol=protocol, head=HEAD, directions=DIRECTIONS)
    agreements = {frozenset(a.modalities): a.steps for a in code_usage(model, data, split=report).agreement}
    return {
        "settings": list(settings),
        "seconds": run.seconds,
        "accuracy": [[d.source, d.target, d.mean] for d in task.directions],
        "same_code": 100 * (agreements[frozenset({"audio", "video"})] or 0.0),
    }


def mean_std(values: Sequence[float]) -> str:
    """`mean ± sample standard deviation`, to one decimal."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


HEADER = ("seeds", "V->A", "A->V", "mean of both", "V->V", "A->A", "same code")


def row(outcomes: Sequence[Outcome]) -> list[str]:
    """The cells under `HEADER` for one variant, over its pretraining seeds."""
    cells = [mean_std([o.accuracy[d] for o in outcomes]) for d in DIRECTIONS]
    transfer = mean_std([o.transfer for o in outcomes])
    known = [o.same_code for o in outcomes if o.same_code is not None]
    return [
        str(len(outcomes)),
        *cells[:2],
        transfer,
        *cells[2:],
        mean_std(known) if known else "not measured",
    ]


def median_seconds(outcomes: Sequence[Outcome]) -> str:
    """Wall-clock seconds of pretraining; worth reading only where nothing else ran."""
    return f"{statistics.median(o.seconds for o in outcomes):.0f}"


def by_variant(variants: Sequence[Variant], outcomes: Sequence[Outcome]) -> list[list[str]]:
    """One table row for each variant."""
    return [[v.name, *row([o for o in outcomes if o.variant == v.name])] for v in variants]


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def save_table(to: Path, name: str, table: str, outcomes: Sequence[Outcome]) -> None:
    """Write the table as Markdown and the numbers behind it as JSON, and print the table."""
    write_text(to / f"{name}.md", table)
    write_json(
        to / f"{name}.json",
        [
            {
                "variant": o.variant,
                "seed": o.seed,
                "seconds": o.seconds,
                "accuracy": {f"{s}->{t}": value for (s, t), value in o.accuracy.items()},
                "same_code": o.same_code,
            }
            for o in outcomes
        ],
    )
    print(f"\n{table}\nwritten to {to / name}.md and .json")
