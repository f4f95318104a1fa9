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
from unicode_cmg.data.check.features import check_arrays
from unicode_cmg.data.check.report import CheckReport, parse_lines, repeated
from unicode_cmg.data.layouts.arrays import array_shape, read_array
from unicode_cmg.data.layouts.ave import (
    ANNOTATIONS,
    FEATURES,
    KEY,
    SPLITS,
    Annotation,
    annotation_lines,
    label_errors,
    labels_file,
    parse_annotation,
    read_ave,
    read_order,
)
from unicode_cmg.data.layouts.tables import data_folder, set_folder
from unicode_cmg.data.layouts.zips import STEPS

_IGNORED = (
    "labels_noisy.h5",
    "mil_labels.h5",
    "audio_feature_noisy.h5",
    "visual_feature_noisy.h5",
    "labels_closs.h5",
    *(f"{split}_order_match.h5" for split in SPLITS),
)


def check_ave(report: CheckReport, root: Path) -> None:
    """Check an AVE folder: `root`, or `AVE` in it."""
    folder = data_folder(set_folder(root, "AVE"))
    labels = report.attempt(read_array, labels_file(folder), KEY)
    steps = labels.shape[1] if labels is not None and labels.ndim == 3 else STEPS
    annotations = _check_annotations(report, folder / ANNOTATIONS, steps)
    classes = tuple(dict.fromkeys(a.category for a in annotations if a is not None))
    published = expected("ave") if classes == ave_classes() else {}
    if annotations:
        _check_classes(report, folder / ANNOTATIONS, annotations, classes, published)
    clips = len(annotations) or (0 if labels is None else len(labels))
    if labels is not None:
        shape = (clips, steps, len(classes) + 1 if annotations else None)
        if report.attempt(array_shape, labels_file(folder), KEY, shape):
            _check_labels(report, labels_file(folder), labels, annotations, classes)
    _check_orders(report, folder, clips, annotations, published)
    for modality, file in FEATURES.items():
        if (folder / file).is_file() or modality != "text":
            check_arrays(report, folder / file, modality, clips, steps)
    ignored = [name for name in _IGNORED if (folder / name).is_file()]
    if ignored:
        report.ok(folder, f"not needed for this task and not read: {', '.join(ignored)}")
    report.attempt(read_ave, folder)


def _check_annotations(report: CheckReport, path: Path, steps: int) -> list[Annotation | None]:
    """The clips in the order of the rows, None where a line cannot be read."""
    content = report.attempt(annotation_lines, path)
    if content is None:
        return []
    lines, header = content
    annotations, errors = parse_lines(
        lambda number, line: parse_annotation(line, steps, where=f"annotation {number}"), lines, path
    )
    report.problems(path, errors)
    report.ok(path, "with the header line of later copies" if header else "without a header line")
    report.note_names(path, "lines that occur more than once", repeated(lines))
    return annotations


def _check_classes(
    report: CheckReport,
    path: Path,
    annotations: Sequence[Annotation | None],
    classes: tuple[str, ...],
    published: Mapping[str, Any],
) -> None:
    known = [a for a in annotations if a is not None]
    videos = {a.video_id for a in known}
    others = "those of AVE; nothing is compared with its counts"
    report.classes(path, f"{len(classes)} classes", published=bool(published), others=others)
    report.compare(path, {"clips": len(annotations), "videos": len(videos)}, published.get("counts", {}))
    counts = Counter(a.category for a in known)
    wrong = [
        f"{row['category']} {counts[row['category']]} (published {row['total']})"
        for row in category_table("ave")
        if published and counts[row["category"]] != int(row["total"])
    ]
    report.note_names(path, "classes with another number of clips", wrong)
    if empty := sum(a.start == a.end for a in known):
        report.note(path, f"clips without any event, read as the first class: {empty} (published 1)")


def _check_labels(
    report: CheckReport,
    path: Path,
    labels: NDArray[Any],
    annotations: Sequence[Annotation | None],
    classes: tuple[str, ...],
) -> None:
    report.ok(path, f"{list(labels.shape)} {labels.dtype}")
    errors = label_errors(labels, classes, annotations or [None] * len(labels))
    report.problems(path, list(errors.values()))
    different = []
    seconds = np.arange(labels.shape[1])
    for row, annotation in enumerate(annotations):
        if annotation is not None and row not in errors:
            inside = (seconds >= annotation.start) & (seconds < annotation.end)
            if not np.array_equal(labels[row, :, classes.index(annotation.category)] == 1, inside):
                different.append(f"row {row}")
    report.note_names(path, "clips whose labelled seconds differ from the annotated ones", different)


def _check_orders(
    report: CheckReport,
    folder: Path,
    clips: int,
    annotations: Sequence[Annotation | None],
    published: Mapping[str, Any],
) -> None:
    classes = dict.fromkeys(a.category for a in annotations if a is not None)
    orders, videos = {}, {}
    for split in SPLITS:
        path = folder / f"{split}_order.h5"
        rows = report.attempt(read_order, path, clips) if clips else None
        if rows is None:
            continue
        orders[split] = rows
        report.compare(path, {split: len(rows)}, published.get("splits", {}))
        shown = [a for row in rows if row < len(annotations) and (a := annotations[row])]
        videos[split] = {a.video_id for a in shown}
        categories = {a.category for a in shown}
        report.note_names(path, "classes without a clip", [c for c in classes if c not in categories])
    listed = set().union(*(rows.tolist() for rows in orders.values()))
    if len(orders) == len(SPLITS) and len(listed) < clips:
        report.note(folder, f"rows in no split: {clips - len(listed)}")
    for one, other in combinations(orders, 2):
        rows = np.intersect1d(orders[one], orders[other])
        report.note_names(folder, f"rows in {one} and in {other}", [str(row) for row in rows])
        shared = sorted(videos[one] & videos[other])
        known = published.get("shared videos", {}).get(f"{one} and {other}")
        as_published = ", as published" if known == len(shared) else ""
        report.note_names(
            folder,
            f"videos with clips in {one} and in {other}",
            shared,
            f"{as_published}; a held-out protocol drops them",
        )
