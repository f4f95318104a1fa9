"""Features of different rates and lengths, brought to common steps by pooling or repetition."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from unicode_cmg.errors import InputError, at_least


class Aligned(NamedTuple):
    """`values [S, ...]`, zeros where `mask [S]` is False because no feature lies there."""

    values: NDArray[np.floating[Any]]
    mask: Bool[np.ndarray, " steps"]


def align(
    values: NDArray[np.floating[Any]],
    steps: int,
    *,
    times: Any = None,
    duration: float | int | None = None,
) -> Aligned:
    """The features of one clip at S equal steps.

    A new step is the mean of the old ones that it overlaps, each weighted by the length of the overlap. So
    40 steps are averaged four by four to 10, 5 steps are repeated twice, and one step, such as an image or a
    caption, is repeated S times.

    >>> align(np.array([[1.0], [3.0], [5.0], [7.0]]), 2).values.ravel().tolist()
    [2.0, 6.0]
    >>> align(np.array([[4.0]]), 3).values.ravel().tolist()
    [4.0, 4.0, 4.0]

    Args:
        values: `[T, ...]` features, valid steps only.
        steps: S.
        times: When each old step happens, in seconds: `[T]` starts in ascending order, each until the next,
            the last as long as the one before; or `[T, 2]` starts and ends. By default the T steps share the
            clip equally.
        duration: Seconds of the clip; by default until the end of the last step. Used with `times`.

    Returns:
        The features, in their own dtype, and which of the S steps any feature overlaps: with `times`, there
        may be gaps.

    Raises:
        InputError: There is no step, or the times do not fit them.
    """
    at_least("align", 1, steps=steps)
    if values.ndim < 2 or 0 in values.shape:
        raise InputError(f"features {list(values.shape)}", where="align", expected="[time >= 1, ...]")
    length = len(values)
    if times is None:
        if length == steps:
            return Aligned(values, np.ones(steps, bool))
        weights = _shares(length, steps)
    else:
        spans = step_spans(np.asarray(times, dtype=np.float64), length)
        end = float(spans.max()) if duration is None else float(duration)
        if not end > 0:
            raise InputError(f"a clip of {end} seconds", where="align", expected="a positive duration")
        weights = _overlaps(spans / end, steps)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    flat = values.reshape(length, -1)
    kind = np.float64 if values.dtype == np.float64 else np.float32
    pooled = (weights.astype(kind) @ flat.astype(kind)).astype(values.dtype)
    return Aligned(pooled.reshape(steps, *values.shape[1:]), total[:, 0] > 0)


@lru_cache(maxsize=1024)
def _shares(length: int, steps: int) -> Float[np.ndarray, "steps time"]:
    """Overlaps of S equal steps with T equal steps; computed in whole numbers, so that no sliver is left."""
    new = np.arange(steps)[:, None] * length
    old = np.arange(length)[None] * steps
    overlap = np.minimum(new + length, old + steps) - np.maximum(new, old)
    shares: NDArray[np.float64] = np.maximum(overlap, 0).astype(np.float64)
    return shares


def step_spans(times: NDArray[np.float64], length: int) -> Float[np.ndarray, "time 2"]:
    """Start and end of each step in seconds, from starts `[T]` or spans `[T, 2]`.

    Raises:
        InputError: They do not fit T steps, or do not ascend.
    """
    if times.shape == (length,):
        gaps = np.diff(times)
        last = gaps[-1] if length > 1 else 1.0
        times = np.stack([times, np.append(times[1:], times[-1] + last)], axis=1)
    if times.shape != (length, 2):
        expected = f"[{length}] starts, or [{length}, 2] starts and ends"
        raise InputError(f"times {list(times.shape)}", where="align", expected=expected)
    if not np.isfinite(times).all() or (times < 0).any() or not (times[:, 1] > times[:, 0]).all():
        raise InputError("times that do not ascend", where="align", expected="seconds, ends after starts")
    return times


def _overlaps(spans: Float[np.ndarray, "time 2"], steps: int) -> Float[np.ndarray, "steps time"]:
    edges = np.arange(steps + 1) / steps
    overlap = np.minimum(edges[1:, None], spans[None, :, 1]) - np.maximum(edges[:-1, None], spans[None, :, 0])
    return np.where(overlap > 1e-9, overlap, 0.0)
