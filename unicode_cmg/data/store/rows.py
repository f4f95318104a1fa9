"""Rows of a store, gathered from its parts into one tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from unicode_cmg.data.store.part import Arrays, OpenArrays, Part
from unicode_cmg.errors import InputError

_LARGE = 32 << 10  # bytes of a clip from which it is copied by itself, rather than gathered with others


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
        self, name: str, rows: NDArray[np.int64], dtype: torch.dtype
    ) -> tuple[Float[torch.Tensor, "batch time ..."], Bool[torch.Tensor, "batch time"]]:
        """Features and mask of some rows of the store, zeros and no True where a clip lacks the modality.

        Raises:
            InputError: A file is damaged or a value is not finite.
        """
        shape = self._shapes[name]
        parts = np.zeros_like(rows)
        if len(self._parts) > 1:
            parts = np.searchsorted(self._starts, rows, side="right") - 1
        numbers = np.unique(parts) if len(self._parts) > 1 else parts[:1]
        if len(numbers) == 1 and (simple := self._simple(name, int(numbers[0]))) is not None:
            inner = rows - self._starts[numbers[0]]
            values = torch.from_numpy(simple.values[inner]).to(dtype)
            if simple.mask is None:
                mask = torch.ones(len(rows), shape[0], dtype=torch.bool)
            else:
                mask = torch.from_numpy(simple.mask[inner])
        else:
            values = torch.empty(len(rows), *shape, dtype=dtype)
            mask = torch.zeros(len(rows), shape[0], dtype=torch.bool)
            for number in numbers:
                at = np.flatnonzero(parts == number)
                self._read_part(self._parts[number], name, rows[at] - self._starts[number], values, mask, at)
        # one pass in the common case: a sum is finite unless a term is not, or (rarely) it overflows
        if not math.isfinite(values.sum(dtype=torch.float32)):
            self._refuse_infinite(name, values, rows)
        return values, mask

    def _simple(self, name: str, number: int) -> Arrays | None:
        """The arrays of a part whose rows can be gathered at once: small, of full length, none missing."""
        part = self._parts[number]
        if name not in part.modalities or part.modalities[name].shape[0] != self._shapes[name][0]:
            return None
        arrays = self._arrays.of(part, name)
        return arrays if arrays.places is None and arrays.values.strides[0] < _LARGE else None

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
        valid = True if arrays.mask is None else torch.from_numpy(arrays.mask[inner])
        mask[at, :steps] = valid
        if arrays.places is not None:
            inner = arrays.places[inner]
            values[at[inner < 0]] = 0
            at, inner = at[inner >= 0], inner[inner >= 0]
        whole = steps == values.shape[1]
        if arrays.values.strides[0] >= _LARGE:  # straight from the map into place, without a copy between
            for to, row in zip(at.tolist(), inner.tolist(), strict=True):
                values[to, :steps] = torch.from_numpy(arrays.values[row])
        else:
            values[at, :steps] = torch.from_numpy(arrays.values[inner]).to(values.dtype)
        if not whole:
            values[at, steps:] = 0

    def _refuse_infinite(self, name: str, values: torch.Tensor, rows: NDArray[np.int64]) -> None:
        bad = (~torch.isfinite(values)).flatten(1).sum(1)
        if not bad.any():
            return
        first = int(bad.nonzero()[0, 0])
        number = int(np.searchsorted(self._starts, rows[first], side="right")) - 1
        part = self._parts[number]
        raise InputError(
            f"{int(bad[first])} values of modality '{name}' are NaN or infinite in clip "
            f"'{part.ids[rows[first] - self._starts[number]]}'",
            where=part.path / f"{name}.npy",
            expected=f"finite {str(values.dtype).removeprefix('torch.')} values",
            fix="extract this clip again or drop it",
        )
