"""Features on their way into a store: axes in our order, integers as floats, values of the wanted type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.sources.source import LazyClips, Source
from unicode_cmg.data.store.blocks import Features
from unicode_cmg.errors import InputError, unknown

_ORDERS = ("TC", "THWC")


def prepared(source: Source, axes: Mapping[str, str], dtype: str | None) -> dict[str, Features]:
    """The features of a source as a store takes them.

    Args:
        source: The source; takes notes on what looks wrong.
        axes: Modality -> the order of the axes of a clip, such as "CT".
        dtype: The type of all values; None: as they are, and integers as float32.

    Raises:
        InputError: There is no such modality, or an order is none.
    """
    for name, order in axes.items():
        if name not in source.features:
            raise unknown("modality", name, source.features, where="--axes")
        if len(set(order)) < len(order) or not set(order) <= set("TCHW") or "C" not in order:
            raise InputError(
                f"'{name}={order}'",
                where="--axes",
                expected="axes in their order, T steps, C channels, H height and W width, such as CT",
            )
    found: dict[str, Features] = {}
    for name, values in source.features.items():
        wanted, where = axes.get(name), f"{source.path}: '{name}'"
        if isinstance(values, LazyClips):
            found[name] = PreparedClips(values, wanted, dtype, source.ids, where, name)
        elif wanted is not None or dtype is not None or values.dtype.kind in "biu":
            found[name] = PreparedArray(values, wanted, dtype, where)
        else:
            found[name] = values
        _note_axes(source, name, found[name], axes)
    return found


def _note_axes(source: Source, name: str, values: Features, axes: Mapping[str, str]) -> None:
    """A note where a grid looks as if its channels came first."""
    if name in axes:
        return
    clips = (values[row : row + 1][0] for row in range(min(32, source.clips)))
    shape: tuple[int, ...] = next((np.shape(clip) for clip in clips if clip is not None), ())
    if len(shape) == 4 and shape[2] == shape[3] != shape[1]:
        source.notes.append(
            f"clips of '{name}' are {list(shape)}, read as [time, height, width, channels]; if channels come"
            f" before height and width, say --axes {name}=TCHW"
        )


class PreparedArray:
    """An array of all clips `[N, ...]`, of which rows are read."""

    def __init__(self, values: Any, axes: str | None, dtype: str | None, where: str) -> None:
        self._values, self._axes, self._dtype, self._where = values, axes, dtype, where
        first = self[0:1]
        self.shape, self.dtype = (values.shape[0], *first.shape[1:]), first.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        values = np.asarray(self._values[rows])
        if self._axes is not None:
            values = _ordered(values, self._axes, 1, self._where)
        return _as_wanted(values, self._dtype, self._where)


class PreparedClips(LazyClips):
    """Features of one modality, clip by clip, of which all have the same axes."""

    def __init__(
        self,
        values: LazyClips,
        axes: str | None,
        dtype: str | None,
        ids: Sequence[Any] | None,
        where: str,
        name: str,
    ) -> None:
        super().__init__(len(values))
        self._values, self._axes, self._dtype, self._where, self._name = values, axes, dtype, where, name
        self._ids = range(len(values)) if ids is None else ids
        self._first: tuple[int, ...] | None = None

    def read(self, rows: range) -> list[Any]:
        if not rows:
            return []
        clips = self._values[rows.start : rows.stop]
        return [
            None if clip is None else self._clip(clip, row) for clip, row in zip(clips, rows, strict=True)
        ]

    def _clip(self, clip: Any, row: int) -> NDArray[Any]:
        values = np.asarray(clip)
        where = f"{self._where}, clip '{self._ids[row]}'"
        if self._axes is not None:
            values = _ordered(values, self._axes, 0, where)
        if values.ndim < 2:
            values = values.reshape(1, -1)
        if self._first is None:
            self._first = values.shape
        elif values.shape[1:] != self._first[1:]:
            raise self._misfit(values.shape, where)
        return _as_wanted(values, self._dtype, where)

    def _misfit(self, shape: tuple[int, ...], where: str) -> InputError:
        first = self._first or ()
        tail = ", ".join(map(str, first[1:]))
        fix = None
        if self._axes is None and len(shape) == len(first) and shape[0] == first[0]:
            differing = [at for at, (a, b) in enumerate(zip(shape, first, strict=True)) if a != b]
            if len(differing) == 1:
                rest = iter("CHW")
                order = "".join("T" if at == differing[0] else next(rest) for at in range(len(shape)))
                fix = f"if the steps are axis {differing[0]}, say so: --axes {self._name}={order}"
        return InputError(
            f"an array {list(shape)}", where=where, expected=f"[steps, {tail}], as the first clip", fix=fix
        )


def _ordered(values: NDArray[Any], axes: str, before: int, where: str) -> NDArray[Any]:
    """Steps first and channels last, between them a grid if there is one; `before` axes stay as they are."""
    if values.ndim != before + len(axes):
        what = f"an array {list(values.shape[before:])}"
        raise InputError(what, where=where, expected=f"the {len(axes)} axes {axes} of --axes")
    target = _ORDERS["H" in axes or "W" in axes]
    order = [*range(before), *(before + axes.index(axis) for axis in target if axis in axes)]
    missing = [before + at for at, axis in enumerate(target) if axis not in axes]
    return np.expand_dims(values.transpose(order), missing)


def _as_wanted(values: NDArray[Any], dtype: str | None, where: str) -> NDArray[Any]:
    if values.dtype.kind not in "biuf":
        raise InputError(f"values of {values.dtype}", where=where, expected="numbers")
    if dtype is None and values.dtype.kind == "f":
        return values
    with np.errstate(over="ignore"):
        found = values.astype(dtype or np.float32)
    if not np.isfinite(found).all() and np.isfinite(values).all():
        what = f"a value of {np.abs(values).max():.3g}, too large for {dtype}"
        raise InputError(what, where=where, fix="choose a wider --dtype")
    return found
