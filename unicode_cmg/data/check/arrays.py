"""HDF5 files of features: their shape and type, and whether their values are finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from unicode_cmg.data.check.clips import note_extractor, sample
from unicode_cmg.data.check.findings import Findings, shorten
from unicode_cmg.data.layouts._h5 import array_dtype, array_shape, read_rows
from unicode_cmg.data.layouts.ave import KEY

_ROWS_AT_A_TIME = 64


def check_features(findings: Findings, path: Path, modality: str, rows: int, steps: int | None) -> None:
    """Check an array `[rows, steps, ...]`; `steps` None for any length, `rows` 0 where it is not known."""
    shape = findings.attempt(array_shape, path, KEY)
    if shape is None:
        return
    if (
        len(shape) < 3
        or 0 in shape
        or (rows and shape[0] != rows)
        or (steps is not None and shape[1] != steps)
    ):
        findings.problem(
            path, f"the array is {list(shape)}; expected [{rows or 'rows'}, {steps or 'steps'}, ...]"
        )
        return
    dtype = array_dtype(path, KEY)
    if dtype.kind != "f":
        findings.problem(path, f"values of type {dtype}; expected floats")
        return
    chosen = list(range(shape[0])) if findings.every else sample(shape[0])
    broken: list[int] = []
    # tqdm writes to stderr, and only to a terminal
    for start in tqdm(range(0, len(chosen), _ROWS_AT_A_TIME), desc=f"{path}", disable=None, leave=False):
        part = np.array(chosen[start : start + _ROWS_AT_A_TIME])
        values = findings.attempt(read_rows, path, KEY, part)
        if values is None:
            return
        broken += part[~np.isfinite(values).reshape(len(part), -1).all(1)].tolist()
    read = f"{len(chosen)} rows read{'' if findings.every else ' as a sample'}"
    if broken:
        findings.problem(
            path,
            f"NaN or infinite values in {len(broken)} of {read}: {shorten(f'row {row}' for row in broken)}",
        )
    else:
        findings.ok(path, f"{list(shape)} {dtype}, {read}")
    note_extractor(findings, path, shape[2:], modality)
