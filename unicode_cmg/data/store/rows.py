"""Rows of a store, gathered from its parts into one tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from unicode_cmg.data.store.part import DTYPES, OpenArrays, Part
from unicode_cmg.errors import InputError

_NUMPY = tuple(getattr(torch, name) for name in DTYPES)
_AT_ONCE = 256 << 10  # bytes that are gathered, checked and put into place at once


class Rows:
    """Reads rows.

    Args:
        parts: The parts of the store.
        shapes: Modality -> `(T, ...)` of the store.
    """

    def __init__(self, parts: Sequence[Part], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._parts, self._shapes, self._arrays = parts, shapes, OpenArrays()
        self._starts = np.cumsum([0, *(len(part.ids) for part in parts[:-1])], dtype=np.int64)

    def read(
        self, name: str, rows: NDArray[np.int64], dtype: torch.dtype, *, pinned: bool = False
    ) -> tuple[Float[torch.Tensor, "batch time ..."], Bool[torch.Tensor, "batch time"]]:
        """Features and mask of some rows of the store, zeros and no True where a clip lacks the modality.

        Args:
            name: The modality.
            rows: Which.
            dtype: Of the features.
            pinned: Put them where a GPU copies them from without waiting.

        Raises:
            InputError: A file is damaged or a value is not finite.
        """
        values = _empty((len(rows), *self._shapes[name]), dtype, pinned)
        mask = torch.zeros(values.shape[:2], dtype=torch.bool, pin_memory=pinned)
        parts = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(parts):
            at = np.flatnonzero(parts == number)
            self._read_part(self._parts[number], name, rows[at] - self._starts[number], values, mask, at)
        return values, mask

    def _read_part(
        self,
        part: Part,
        name: str,
        inner: NDArray[np.int64],
        values: torch.Tensor,
        mask: torch.Tensor,
        at: NDArray[np.int64],
    ) -> None:
        """Read the rows `inner` of a part into the rows `at` of `values` and `mask`."""
        if name not in part.modalities:
            values[at] = 0
            return
        arrays = self._arrays.of(part, name)
        steps = arrays.values.shape[1]
        mask[at, :steps] = True if arrays.mask is None else torch.from_numpy(arrays.mask[inner])
        places = inner
        if arrays.places is not None:
            places = arrays.places[inner]
            values[at[places < 0]] = 0
            at, inner, places = at[places >= 0], inner[places >= 0], places[places >= 0]
        if steps < values.shape[1]:
            values[at, steps:] = 0
        # A few clips at a time, so that they are still in the processor's cache when they are checked.
        some = max(1, _AT_ONCE // arrays.values.strides[0])
        single = zip(at.tolist(), places.tolist(), strict=True)
        for start in range(0, len(at), some):
            if some == 1:  # from the map into place, without a copy between
                to, place = next(single)
                read = values[to, :steps] if steps < values.shape[1] else values[to]
                read.copy_(torch.from_numpy(arrays.values[place]))
            else:
                read = torch.from_numpy(arrays.values[places[start : start + some]]).to(values.dtype)
                values[at[start : start + some], :steps] = read
            if not (all_finite(read.numpy()) if read.dtype in _NUMPY else read.isfinite().all()):
                self._refuse(part, name, read[None] if some == 1 else read, inner[start:])

    def _refuse(self, part: Part, name: str, clips: torch.Tensor, inner: NDArray[np.int64]) -> None:
        bad = (~clips.isfinite()).flatten(1).sum(1)
        first = int(bad.nonzero()[0, 0])
        raise InputError(
            f"{int(bad[first])} values of modality '{name}' are NaN or infinite in clip "
            f"'{part.ids[inner[first]]}'",
            where=part.path / f"{name}.npy",
            expected=f"finite {str(clips.dtype).removeprefix('torch.')} values",
            fix="extract this clip again or drop it",
        )


def _bits_of_infinity(dtype: str) -> tuple[np.dtype[Any], int, np.dtype[Any], int]:
    """For integers of its size with and without a sign: their dtype, and what plus and minus infinity are."""
    infinity = np.array([np.inf, -np.inf], dtype)
    signed, unsigned = (np.dtype(f"{kind}{infinity.itemsize}") for kind in "iu")
    return signed, int(infinity.view(signed)[0]), unsigned, int(infinity.view(unsigned)[1])


_INFINITY = {np.dtype(name): _bits_of_infinity(name) for name in DTYPES}


def all_finite(values: NDArray[np.floating[Any]]) -> bool:
    """Whether no value is NaN or infinite, at the speed of reading memory.

    Read as integers, the positive values that are not finite are the largest; read as integers without a
    sign, the negative ones are.
    """
    if not values.size:
        return True
    signed, most, unsigned, most_unsigned = _INFINITY[values.dtype]
    bits = np.ascontiguousarray(values).reshape(-1)
    return bool(bits.view(signed).max() < most and bits.view(unsigned).max() < most_unsigned)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, pinned: bool) -> torch.Tensor:
    """Memory for features; that of NumPy comes in large pages, which takes a quarter of the time."""
    if pinned:
        return torch.empty(shape, dtype=dtype, pin_memory=True)
    size = math.prod(shape)
    memory = torch.from_numpy(np.empty(size * dtype.itemsize, np.uint8))
    return memory.view(dtype).view(shape) if size else torch.empty(shape, dtype=dtype)
