"""Pieces of a clip that a model hears at once, and frames of its output averaged over steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Float64

from unicode_cmg.extract.media import Grid


@dataclass(frozen=True)
class Piece:
    """A part of a clip.

    Attributes:
        start: Its first second.
        end: Its end in seconds.
    """

    start: float
    end: float


def pieces(grid: Grid, longest: float) -> list[Piece]:
    """The clip cut into pieces of at most `longest` seconds, none of which ends inside a step.

    Steps longer than that are cut into equal pieces of their own.

    >>> [(p.start, p.end) for p in pieces(Grid(seconds=5, per_second=1), longest=2.0)]
    [(0.0, 2.0), (2.0, 4.0), (4.0, 5.0)]
    >>> [(p.start, p.end) for p in pieces(Grid(seconds=4, per_second=0.5), longest=1.0)]
    [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    """
    step = 1 / grid.per_second
    if step > longest:
        parts = math.ceil(step / longest - 1e-6)
        edges = np.arange(grid.steps * parts + 1) * step / parts
    else:
        together = math.floor(longest / step + 1e-6)
        edges = np.append(np.arange(0, grid.steps, together), grid.steps) * step
    return [Piece(a, b) for a, b in pairwise(edges.tolist())]


def average_over_steps(
    frames: Float32[np.ndarray, "frames ..."],
    starts: Float64[np.ndarray, " frames"],
    ends: Float64[np.ndarray, " frames"],
    grid: Grid,
) -> Float32[np.ndarray, "steps ..."]:
    """The mean over each step of a signal that is constant within each frame.

    Args:
        frames: Features of each frame, in the order of time; frames do not overlap.
        starts: Second at which each frame starts.
        ends: Second at which it ends.
        grid: The steps of the clip.

    Returns:
        One row per step; a step without any frame has that of the nearest one.
    """
    lengths, middles, step = ends - starts, (starts + ends) / 2, 1 / grid.per_second
    signal = np.column_stack([frames.reshape(len(frames), -1).astype(np.float64), np.ones(len(frames))])
    areas = lengths[:, None] * signal
    before = np.cumsum(areas, axis=0) - areas

    def until(seconds: Float64[np.ndarray, " times"]) -> Float64[np.ndarray, "times sums"]:
        """Integrals of the signal, and of 1 where there is a frame, up to some times."""
        frame = np.clip(np.searchsorted(starts, seconds, side="right") - 1, 0, None)
        inside = np.clip(seconds - starts[frame], 0, lengths[frame])
        integrals: Float64[np.ndarray, "times sums"] = before[frame] + inside[:, None] * signal[frame]
        return integrals

    sums = until(grid.starts + step) - until(grid.starts)
    lonely = sums[:, -1] <= 1e-6 * step
    sums[lonely] = signal[np.searchsorted((middles[1:] + middles[:-1]) / 2, grid.starts[lonely] + step / 2)]
    means: Float64[np.ndarray, "steps dims"] = sums[:, :-1] / sums[:, -1:]
    return means.reshape(grid.steps, *frames.shape[1:]).astype(np.float32)
