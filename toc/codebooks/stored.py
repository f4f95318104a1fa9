"""A tensor of a file before anybody has read it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Shaped, UInt16

BFLOAT16 = "bfloat16"


@dataclass(frozen=True, eq=False)
class Stored:
    """Shape and type of a tensor, and how to get its values.

    Attributes:
        shape: Its axes.
        dtype: NumPy's name of the type as stored, such as `float64`; or `bfloat16`, which NumPy lacks and
            which is read as float32.
        read: Reads the values; raises `CodebookError` where they cannot be had as a NumPy array.
        memory: Equal for two tensors of a file that share their values; None where nothing can be shared.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Shaped[np.ndarray, ...]]
    memory: Hashable | None = None

    @property
    def floating(self) -> bool:
        """Whether it holds real numbers, as codes do."""
        return self.dtype.startswith("float") or self.dtype == BFLOAT16


def matrices(stored: Stored) -> list[Stored]:
    """The matrices of a tensor with three axes, along the first of them."""
    return [
        Stored(stored.shape[1:], stored.dtype, partial(_matrix, stored, at)) for at in range(stored.shape[0])
    ]


def widened(bits: UInt16[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    """The values of bfloat16 numbers as float32, of which their bits are the upper half."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _matrix(stored: Stored, at: int) -> Shaped[np.ndarray, ...]:
    return np.asarray(stored.read()[at])
