"""Checks that every reader makes on the values it hands out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.errors import InputError


def check_finite(values: NDArray[np.float32], *, where: Path, clip: Callable[[int], str]) -> None:
    """Refuse NaN and infinities, naming the first clip that has one.

    Args:
        values: `[n, ...]`.
        where: The file they were read from.
        clip: From a position in `values` to the name of the clip.

    Raises:
        InputError: A value is not finite.
    """
    if np.isfinite(values.sum(dtype=np.float64)):
        return
    bad: NDArray[Any] = (~np.isfinite(values)).reshape(len(values), -1).sum(1)
    first = int(np.flatnonzero(bad)[0])
    raise InputError(
        f"{int(bad[first])} values are NaN or infinite in clip '{clip(first)}'",
        where=where,
        expected="finite float32 values",
        fix="extract this clip again",
    )


def check_shape(shape: tuple[int, ...], expected: tuple[int | None, ...], *, where: object) -> None:
    """Compare a shape with a pattern in which None stands for any length but zero.

    Raises:
        InputError: They differ.
    """
    fits = len(shape) == len(expected) and all(
        have > 0 and want in (None, have) for have, want in zip(shape, expected, strict=True)
    )
    if not fits:
        pattern = ", ".join("any" if want is None else str(want) for want in expected)
        raise InputError(f"the array is {list(shape)}", where=where, expected=f"[{pattern}]")
