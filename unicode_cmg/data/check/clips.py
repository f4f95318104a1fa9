"""Folders of one zip a clip: whether the clips are there, can be read, and look like the published ones."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unicode_cmg.data.check.findings import Findings, shorten
from unicode_cmg.data.layouts.zips import read_clip
from unicode_cmg.errors import InputError

PUBLISHED = {"audio": (128,), "video": (7, 7, 512)}
"""Shape of one step of the published features: VGGish, and the last pooling layer of VGG19."""
_EXTRACTORS = {"audio": "VGGish", "video": "VGG19"}
_SAMPLE = 32


def check_clips(
    findings: Findings, folder: Path, ids: Iterable[str], modality: str, *, steps: int | None = None
) -> None:
    """Check the zips that a list asks for.

    Args:
        findings: Where to write.
        folder: The folder of the zips.
        ids: Names of the clips; repeated ones count once.
        modality: Whose features they are.
        steps: How long every clip should be; None for any length.
    """
    wanted = list(dict.fromkeys(ids))
    if not folder.is_dir():
        findings.problem(folder, f"no such folder; expected {len(wanted)} zips, one a clip")
        return
    with os.scandir(folder) as entries:
        there = {entry.name for entry in entries}
    present = [name for name in wanted if f"{name}.zip" in there]
    missing = [name for name in wanted if f"{name}.zip" not in there]
    if missing:
        findings.problem(
            folder,
            f"{len(missing)} of {len(wanted)} clips have no zip: {shorten(missing)};"
            " extract them, or drop their rows",
        )
    if present:
        unused = len(there) - len(present)
        more = f"; files that no row needs: {unused}" if unused else ""
        findings.ok(folder, f"{len(present)} of {len(wanted)} clips{more}")
        _check_content(findings, folder, present, modality, steps)


def _check_content(
    findings: Findings, folder: Path, names: Sequence[str], modality: str, steps: int | None
) -> None:
    chosen = names if findings.every else [names[i] for i in sample(len(names))]
    shapes: dict[str, tuple[int, ...]] = {}
    errors = []
    # tqdm writes to stderr, and only to a terminal
    for name in tqdm(chosen, desc=f"{folder}", unit="clip", disable=None, leave=False):
        try:
            shapes[name] = read_clip(folder / f"{name}.zip").shape
        except InputError as error:
            errors.append(f"{name}.zip: " + str(error).removeprefix(f"{folder}/{name}.zip: "))
    read = f"{len(chosen)} read" if findings.every else f"{len(chosen)} read as a sample"
    if errors:
        findings.problem(folder, f"{len(errors)} of {read} cannot be used: {shorten(errors, separator='; ')}")
    if shapes:
        _check_shapes(findings, folder, shapes, modality, read)
        odd = [name for name, shape in shapes.items() if steps is not None and shape[0] != steps]
        if odd:
            findings.note(
                folder,
                f"{len(odd)} of {read} are not {steps} steps long; they are cut, or padded with their last"
                f" step: {shorten(odd)}",
            )


def _check_shapes(
    findings: Findings, folder: Path, shapes: dict[str, tuple[int, ...]], modality: str, read: str
) -> None:
    kinds = Counter(shape[1:] for shape in shapes.values()).most_common()
    usual = kinds[0][0]
    if len(kinds) > 1:
        odd = [f"{name}.zip {list(shape[1:])}" for name, shape in shapes.items() if shape[1:] != usual]
        findings.problem(
            folder, f"a step is {list(usual)} in most clips, but not in {len(odd)} of {read}: {shorten(odd)}"
        )
    lengths = [shape[0] for shape in shapes.values()]
    span = f"{min(lengths)}" if min(lengths) == max(lengths) else f"{min(lengths)} to {max(lengths)}"
    findings.ok(folder, f"{span} steps of {list(usual)} ({read})")
    note_extractor(findings, folder, usual, modality)


def note_extractor(findings: Findings, where: Path, step: tuple[int, ...], modality: str) -> None:
    """Say so where features are not those that published checkpoints were trained on."""
    if modality in PUBLISHED and step != PUBLISHED[modality]:
        findings.note(
            where,
            f"features of another extractor: {list(step)} a step, published {list(PUBLISHED[modality])}"
            f" ({_EXTRACTORS[modality]}); only models made for them can be used",
        )


def sample(count: int) -> list[int]:
    """Rows, evenly spread, to read in place of all."""
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).astype(int))]
