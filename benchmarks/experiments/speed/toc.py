"""Time of TOC's scores beside the loop over pairs of codes and a form with H x H matrices.

usage: python -m benchmarks.experiments.speed.toc [--rounds 5] [--sizes 400x256,2048x256,65536x1024]

The codebooks are random float64 numbers, the options those of the released scripts. The loop adds one pair
of codes after another in float32, as released; where that would take hours, its first rows are timed and
the rest is extrapolated, and the table says so. The H x H form computes the products of all pairs in one
dimension at a time; it is left out beyond 4096 codes, where a matrix is larger than 128 MiB. The forms take
turns in one process. In a round, a form that takes less than 20 ms is repeated until 20 ms have passed, and
its median run counts. The table shows medians over the rounds, and ratios in the same round; extra memory
is the peak of what NumPy allocates. The import is timed in separate processes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from jaxtyping import Float

from toc import VARIANTS, toc_scores
from unicode_cmg.console import run_command

_LOOP_PAIRS = 400 * 400  # as many as the papers' codebook has; one or two seconds
_MOST_CODES = 4096  # of the H x H form
_LEAST_SECONDS = 0.02


class Form(NamedTuple):
    """One way to compute the similarity and the variance of every dimension.

    Attributes:
        name: What the table calls it.
        work: The computation that is timed.
        share: Share of the whole computation that is timed.
        in_numpy: Whether NumPy allocates its memory, so that it can be measured.
    """

    name: str
    work: Callable[[], object]
    share: float = 1.0
    in_numpy: bool = True


def by_the_loop(codes: Float[np.ndarray, "codes dim"], rows: int) -> Float[np.ndarray, " dim"]:
    """Similarity from the pairs of the first `rows` codes, one after another, in float32 as released."""
    count, dim = codes.shape
    table, total = torch.from_numpy(codes), torch.zeros(dim)
    for i in range(rows):
        for j in range(count):
            if i != j:
                total += table[i] * table[j]
    table.var(dim=0)
    return np.asarray(total / (count * (count - 1)))


def by_matrices(codes: Float[np.ndarray, "codes dim"]) -> Float[np.ndarray, " dim"]:
    """Similarity from the products of all pairs in one dimension at a time, without their diagonal."""
    count = len(codes)
    sums = []
    for values in codes.T:
        products = np.outer(values, values)
        sums.append(products.sum() - np.trace(products))
    codes.var(axis=0, ddof=1)
    return np.array(sums) / (count * (count - 1))


def measure(
    rounds: Annotated[int, typer.Option(min=1, help="Number of timed runs of each form.")] = 5,
    sizes: Annotated[
        str, typer.Option(help="Sizes of codebooks, codes x dimensions, separated by commas.")
    ] = "400x256,2048x256,65536x1024",
) -> None:
    """Time the scores of TOC and its import, and print two tables."""
    print(f"{rounds} rounds, {torch.get_num_threads()} threads")
    print("| codes x dimensions | form | milliseconds | times toc_scores | extra memory |")
    print("| --- | --- | --- | --- | --- |")
    for size in sizes.split(","):
        count, dim = map(int, size.split("x"))
        codes = np.random.default_rng(0).standard_normal((count, dim))
        forms = _forms(codes)
        seconds = _in_turns([_timer(form) for form in forms], rounds)
        for form, own in zip(forms, seconds, strict=True):
            ratio = statistics.median(time / first for time, first in zip(own, seconds[0], strict=True))
            milliseconds = 1e3 * statistics.median(own)
            extra = f"{_peak(form.work) / 2**20:.1f} MiB" if form.in_numpy else "-"
            print(f"| {count} x {dim} | {form.name} | {milliseconds:,.2f} | {ratio:,.1f} | {extra} |")
    print("\n| import | milliseconds |\n| --- | --- |")
    modules = ("numpy", "toc")
    for module, own in zip(modules, _in_turns([_import_timer(m) for m in modules], rounds), strict=True):
        print(f"| {module} | {1e3 * statistics.median(own):.0f} |")


def _forms(codes: Float[np.ndarray, "codes dim"]) -> list[Form]:
    count = len(codes)
    rows = min(count, max(1, _LOOP_PAIRS // count))
    part = f", extrapolated from {rows} of {count} rows" if rows < count else ""
    forms = [
        Form("toc_scores", lambda: toc_scores(codes, **VARIANTS["released"])),
        Form("toc_scores, codes of unit length", lambda: toc_scores(codes, **VARIANTS["paper"])),
        Form(f"loop over pairs{part}", lambda: by_the_loop(codes, rows), rows / count, in_numpy=False),
    ]
    return [*forms, Form("H x H matrices", lambda: by_matrices(codes))] if count <= _MOST_CODES else forms


def _in_turns(timers: list[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Seconds of each, over the rounds; the first round warms up."""
    turns = [[timer() for timer in timers] for _ in range(rounds + 1)]
    return [list(own) for own in zip(*turns[1:], strict=True)]


def _timer(form: Form) -> Callable[[], float]:
    def seconds() -> float:
        runs: list[float] = []
        while sum(runs) < _LEAST_SECONDS:
            started = time.perf_counter()
            form.work()
            runs.append(time.perf_counter() - started)
        return statistics.median(runs) / form.share

    return seconds


def _import_timer(module: str) -> Callable[[], float]:
    script = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"

    def seconds() -> float:
        return float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)

    return seconds


def _peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


if __name__ == "__main__":
    run_command(measure)
