"""Checks that all data sets share: zips and HDF5 arrays of features, their shapes, types and values."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray
from tqdm import tqdm

from unicode_cmg.data.check.report import CheckReport, parse_lines, shorten
from unicode_cmg.data.layouts.arrays import array_dtype, array_shape, read_rows
from unicode_cmg.data.layouts.ave import KEY
from unicode_cmg.data.layouts.zips import read_clip

_EXTRACTORS = {"audio": ("VGGish", (128,)), "video": ("VGG19", (7, 7, 512))}
"""Name, and shape of one step, of the published features; VGG19's are those of its last pooling layer."""
_SAMPLE = 32
_ROWS_AT_A_TIME = 64


def check_arrays(report: CheckReport, path: Path, modality: str, rows: int, steps: int | None) -> None:
    """Check an HDF5 array `[rows, steps, ...]`; `steps` None for any length, `rows` 0 if it is not known."""
    shape = report.attempt(array_shape, path, KEY, (rows or None, steps, ...))
    if shape is None:
        return
    dtype = array_dtype(path, KEY)
    if dtype.kind != "f":
        report.problem(path, f"values of type {dtype}; expected floats")
        return
    chosen = np.arange(shape[0]) if report.every else sample(shape[0])
    broken: list[str] = []
    # tqdm writes to stderr, and only to a terminal
    for start in tqdm(range(0, len(chosen), _ROWS_AT_A_TIME), desc=f"{path}", disable=None, leave=False):
        part = chosen[start : start + _ROWS_AT_A_TIME]
        values = report.attempt(read_rows, path, KEY, part)
        if values is None:
            return
        broken += [f"row {row}" for row in part[~np.isfinite(values).reshape(len(part), -1).all(1)]]
    every = len(chosen) == shape[0]
    read = (
        f"all {shape[0]} rows read"
        if every
        else f"{len(chosen)} of {shape[0]} rows read; --all reads them all"
    )
    if broken:
        report.problem(
            path, f"NaN or infinite values in {len(broken)} of {len(chosen)} rows read: {shorten(broken)}"
        )
    else:
        report.ok(path, f"{list(shape)} {dtype}, {read}")
    _check_extractor(report, path, shape[2:], modality)


def check_clips(
    report: CheckReport, folder: Path, ids: Iterable[str], modality: str, *, steps: int | None = None
) -> None:
    """Check the zips of the clips in a list.

    Args:
        report: Where to add entries.
        folder: The folder of the zips.
        ids: Names of the clips; repeated names count once.
        modality: The modality of the features.
        steps: The length that every clip should have; None for any length.
    """
    wanted = list(dict.fromkeys(ids))
    if not folder.is_dir():
        report.problem(folder, f"no such folder; expected {len(wanted)} zips, one for each clip")
        return
    with os.scandir(folder) as entries:
        files = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    present = [name for name in wanted if f"{name}.zip" in files]
    missing = [name for name in wanted if f"{name}.zip" not in files]
    if missing:
        report.problem(
            folder,
            f"{len(missing)} of {len(wanted)} clips have no zip: {shorten(missing)};"
            " extract them, or drop their rows",
        )
    empty = [f"{name}.zip" for name in present if not files[f"{name}.zip"]]
    if empty:
        report.problem(
            folder, f"{len(empty)} of {len(present)} zips are empty: {shorten(empty)}; download them again"
        )
        present = [name for name in present if files[f"{name}.zip"]]
    if not present:
        return
    unused = len(files) - len(present) - len(empty)
    more = f"; files without a row in the list: {unused}" if unused else ""
    report.ok(folder, f"{len(present)} of {len(wanted)} clips{more}")

    chosen = present if report.every else [present[i] for i in sample(len(present))]
    every = len(chosen) == len(present)
    read = (
        f"all {len(present)} read" if every else f"{len(chosen)} of {len(present)} read; --all reads them all"
    )
    quantized: list[bool] = []
    shapes, errors = parse_lines(
        lambda _, name: _looked_at(read_clip(folder / f"{name}.zip"), quantized),
        tqdm(chosen, desc=f"{folder}", unit="clip", disable=None, leave=False),
        folder,
    )
    if errors:
        messages = shorten(errors, separator="; ")
        report.problem(folder, f"{len(errors)} of {len(chosen)} clips read cannot be used: {messages}")
    readable = {name: shape for name, shape in zip(chosen, shapes, strict=True) if shape is not None}
    if readable:
        _check_shapes(report, folder, readable, modality, steps, read)
    if quantized and all(quantized):
        report.note(
            folder,
            "whole numbers in 0..255 only: features of 8 bits, as AudioSet has them; the published ones are"
            " not quantized",
        )


def _check_shapes(
    report: CheckReport,
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    modality: str,
    steps: int | None,
    read: str,
) -> None:
    usual = Counter(shape[1:] for shape in shapes.values()).most_common(1)[0][0]
    odd = [f"{name}.zip {list(shape[1:])}" for name, shape in shapes.items() if shape[1:] != usual]
    if odd:
        report.problem(
            folder,
            f"a step is {list(usual)} in most clips, but not in {len(odd)} of {len(shapes)}: {shorten(odd)}",
        )
    report.ok(folder, f"{span(shape[0] for shape in shapes.values())} steps of {list(usual)} ({read})")
    _check_extractor(report, folder, usual, modality)
    odd = [name for name, shape in shapes.items() if steps is not None and shape[0] != steps]
    if odd:
        report.note(
            folder,
            f"{len(odd)} of {len(shapes)} clips read are not {steps} steps long; they are cut, or padded with"
            f" their last step: {shorten(odd)}",
        )
        _check_hop(report, folder, [shape[0] for shape in shapes.values()], steps or 0)


def _check_hop(report: CheckReport, folder: Path, lengths: Sequence[int], seconds: int) -> None:
    """Note clips with about two steps a second, as VGGish gives with a hop of half its window."""
    twice = sum(2 * seconds - 1 <= length <= 2 * seconds + 1 for length in lengths)
    if 2 * twice > len(lengths):
        report.note(
            folder,
            f"{twice} of {len(lengths)} clips have twice the steps of their {seconds} seconds: is the hop"
            " 0.48 s? Then the mean of two steps is about one second",
        )


def _looked_at(values: NDArray[np.float32], quantized: list[bool]) -> tuple[int, ...]:
    """The shape of a clip; whether its values are of 8 bits is added to `quantized`."""
    whole = bool((values == np.floor(values)).all()) and values.min() >= 0 and 1 < values.max() <= 255
    quantized.append(bool(whole))
    return values.shape


def _check_extractor(report: CheckReport, where: Path, step: tuple[int, ...], modality: str) -> None:
    """Note features that published checkpoints were not trained on."""
    extractor, published = _EXTRACTORS.get(modality, ("", step))
    if step != published:
        report.note(
            where,
            f"features of another extractor: {list(step)} a step, published {list(published)} ({extractor});"
            " only models trained on them can be used",
        )


def sample(count: int) -> Int64[np.ndarray, " rows"]:
    """Evenly spread rows to read instead of all rows."""
    return np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).astype(np.int64))


def span(numbers: Iterable[int]) -> str:
    """The range of some numbers: "3" or "3 to 5"."""
    ordered = sorted(numbers)
    return f"{ordered[0]}" if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"
