"""`data check ave`: annotations, labels, orders and features, against each other and the published counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.categories import ave_classes, category_table, expected
from unicode_cmg.data.check.arrays import check_features
from unicode_cmg.data.check.findings import Findings, named, repeated
from unicode_cmg.data.layouts._annotations import Annotation, annotation_lines, parse_annotation
from unicode_cmg.data.layouts._h5 import read_array
from unicode_cmg.data.layouts._tables import data_folder
from unicode_cmg.data.layouts.ave import (
    ANNOTATIONS,
    FEATURES,
    KEY,
    SPLITS,
    labels_file,
    read_ave,
    read_order,
)
from unicode_cmg.errors import InputError

_STEPS = 10
_IGNORED = (
    "labels_noisy.h5",
    "mil_labels.h5",
    "audio_feature_noisy.h5",
    "visual_feature_noisy.h5",
    "labels_closs.h5",
    *(f"{split}_order_match.h5" for split in SPLITS),
)


def check_ave(findings: Findings, root: Path) -> None:
    """Check an AVE folder: `root`, or `AVE` in it."""
    folder = data_folder(root / "AVE" if (root / "AVE").is_dir() else root)
    labels = findings.attempt(read_array, labels_file(folder), KEY)
    steps = labels.shape[1] if labels is not None and labels.ndim == 3 else _STEPS
    annotations = _check_annotations(findings, folder / ANNOTATIONS, steps)
    classes = tuple(dict.fromkeys(a.category for a in annotations if a is not None))
    published = expected("ave") if classes == ave_classes() else {}
    if annotations:
        _check_classes(findings, folder / ANNOTATIONS, annotations, classes, published)
    clips = len(annotations) or (0 if labels is None else len(labels))
    if labels is not None:
        _check_labels(findings, labels_file(folder), labels, annotations, classes)
    _check_orders(findings, folder, clips, annotations, published)
    for modality, file in FEATURES.items():
        if (folder / file).is_file() or modality != "text":
            check_features(findings, folder / file, modality, clips, steps)
    ignored = [name for name in _IGNORED if (folder / name).is_file()]
    if ignored:
        findings.ok(folder, f"not needed here and not read: {', '.join(ignored)}")
    findings.attempt(read_ave, folder)


def _check_annotations(findings: Findings, path: Path, steps: int) -> list[Annotation | None]:
    """The clips in the order of the rows, None where a line cannot be read."""
    found = findings.attempt(annotation_lines, path)
    if found is None:
        return []
    lines, header = found
    annotations: list[Annotation | None] = []
    errors = []
    for number, line in enumerate(lines, 1):
        try:
            annotations.append(parse_annotation(line, steps, where=f"annotation {number}"))
        except InputError as error:
            annotations.append(None)
            errors.append(str(error))
    findings.errors(path, errors)
    findings.ok(path, "with the header line of later copies" if header else "without a header line")
    if twice := repeated(lines):
        findings.note(path, named("lines that occur more than once", twice))
    return annotations


def _check_classes(
    findings: Findings,
    path: Path,
    annotations: Sequence[Annotation | None],
    classes: tuple[str, ...],
    published: Mapping[str, Any],
) -> None:
    if published:
        findings.ok(path, f"{len(classes)} classes, in the published order")
    else:
        findings.note(
            path, f"{len(classes)} classes, which are not those of AVE; nothing is compared with its counts"
        )
    videos = {a.video_id for a in annotations if a is not None}
    findings.compare(path, {"clips": len(annotations), "videos": len(videos)}, published.get("counts", {}))
    counts = Counter(a.category for a in annotations if a is not None)
    wrong = [
        f"{row['category']} {counts[row['category']]} (published {row['total']})"
        for row in category_table("ave")
        if published and counts[row["category"]] != int(row["total"])
    ]
    if wrong:
        findings.note(path, named("classes with another number of clips", wrong))
    still = sum(a is not None and a.start == a.end for a in annotations)
    if still:
        findings.note(path, f"clips without any event, which read as the first class: {still} (published 1)")


def _check_labels(
    findings: Findings,
    path: Path,
    labels: NDArray[Any],
    annotations: Sequence[Annotation | None],
    classes: tuple[str, ...],
) -> None:
    shape = list(labels.shape)
    if labels.ndim != 3 or (annotations and shape != [len(annotations), shape[1], len(classes) + 1]):
        findings.problem(
            path, f"the array is {shape}; expected [{len(annotations)}, {_STEPS}, {len(classes) + 1}]"
        )
        return
    findings.ok(path, f"{shape} {labels.dtype}")
    one_hot = (np.isin(labels, (0, 1)).all(-1) & (labels.sum(-1) == 1)).all(1)
    errors = [f"row {row} is not one-hot in each second" for row in np.flatnonzero(~one_hot)]
    differ = []
    for row, annotation in enumerate(annotations):
        if annotation is None or not one_hot[row]:
            continue
        column = classes.index(annotation.category)
        if np.delete(labels[row, :, :-1], column, axis=1).any():
            errors.append(f"row {row} is not labelled '{annotation.category}'")
        seconds = np.arange(labels.shape[1])
        inside = (seconds >= annotation.start) & (seconds < annotation.end)
        if not np.array_equal(labels[row, :, column] == 1, inside):
            differ.append(f"row {row}")
    findings.errors(path, errors)
    if differ:
        findings.note(path, named("clips whose seconds are not those annotated", differ))


def _check_orders(
    findings: Findings,
    folder: Path,
    clips: int,
    annotations: Sequence[Annotation | None],
    published: Mapping[str, Any],
) -> None:
    orders = {}
    for split in SPLITS:
        path = folder / f"{split}_order.h5"
        rows = findings.attempt(read_order, path, clips) if clips else None
        if rows is None:
            continue
        orders[split] = rows
        findings.compare(path, {split: len(rows)}, published.get("splits", {}))
        shown = {a.category for row in rows if row < len(annotations) and (a := annotations[row])}
        classes = dict.fromkeys(a.category for a in annotations if a is not None)
        if absent := [name for name in classes if name not in shown]:
            findings.note(path, named("classes without a clip", absent))
    listed = set().union(*(rows.tolist() for rows in orders.values()))
    if len(orders) == len(SPLITS) and len(listed) < clips:
        findings.note(folder, f"rows in no split: {clips - len(listed)}")
    for one, other in combinations(orders, 2):
        both = np.intersect1d(orders[one], orders[other])
        if len(both):
            findings.note(folder, named(f"rows in {one} and in {other}", [str(row) for row in both]))
        videos = [
            {a.video_id for row in orders[split] if row < len(annotations) and (a := annotations[row])}
            for split in (one, other)
        ]
        if shared := sorted(videos[0] & videos[1]):
            known = published.get("shared videos", {}).get(f"{one} and {other}")
            as_published = ", as published" if known == len(shared) else ""
            findings.note(
                folder,
                named(f"videos with clips in {one} and in {other}", shared)
                + f"{as_published}; a held-out protocol drops them",
            )
