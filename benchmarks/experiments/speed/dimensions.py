"""Rows of TOC: its scores beside the loop over pairs of codes and beside a form with H x H matrices.

The codebooks are random float64 numbers, the options those of the released scripts. The loop adds one pair
of codes after another in float32, as released. Where that would take hours, its first rows are timed and the
rest is extrapolated, and the row says so. The H x H form computes the products of all pairs in one dimension
at a time; it is left out beyond 4096 codes, where a matrix is larger than 128 MiB.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from benchmarks.experiments.speed.measuring import Row, compared
from toc import VARIANTS, toc_scores

SIZES = ((400, 256), (2048, 256), (65_536, 1024))
LOOP_PAIRS = 400 * 400  # as many as the papers' codebook has; one or two seconds
MOST_CODES = 4096  # of the H x H form


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


def toc_rows(rounds: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[Row]:
    """The scores of each size, and what memory they take."""
    for count, dim in sizes:
        codes = np.random.default_rng(0).standard_normal((count, dim))
        name = f"TOC scores, {count} x {dim}"
        ours = partial(toc_scores, codes, **VARIANTS["released"])
        rows = max(1, min(count, LOOP_PAIRS // count))
        part = "" if rows == count else f", from {rows} of its rows"
        loop = compared(name, ours, {f"loop over pairs{part}": partial(by_the_loop, codes, rows)}, rounds)
        share = rows / count
        scaled = replace(loop[0], values=tuple(value / share for value in loop[0].values))
        yield replace(scaled, reach=">= 10,000")
        if count <= MOST_CODES:
            other = {"H x H matrices": partial(by_matrices, codes)}
            yield from compared(name, ours, other, rounds, guarded=False)
        copies = _peak(ours) / codes.nbytes
        yield Row(f"{name}, extra memory", "copies of the codebook", (copies,), "<= 2")
        reach = {(400, 256): "<= 1", (65_536, 1024): "<= 1,000"}.get((count, dim), "")
        yield Row(name, "ms", (1e3 * (loop[0].seconds or 0.0),), reach)


def _peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most
