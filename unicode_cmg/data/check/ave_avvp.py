"""`data check ave-avvp`: AVE, the shared classes, and the AVVP clips of the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.categories import ave_avvp_classes, expected
from unicode_cmg.data.check.ave import check_ave
from unicode_cmg.data.check.avvp import check_event_tables
from unicode_cmg.data.check.report import CheckReport
from unicode_cmg.data.layouts.arrays import array_shape, read_array
from unicode_cmg.data.layouts.ave import KEY, SPLITS, AVEData, read_ave, read_order
from unicode_cmg.data.layouts.ave_avvp import CATEGORIES, LABELS, ORDER, read_ave_avvp
from unicode_cmg.data.layouts.avvp import FORMS, WORDS, clip_id, event_table, read_classes
from unicode_cmg.data.layouts.tables import data_folder


def check_ave_avvp(report: CheckReport, root: Path) -> None:
    """Check the folders `AVE`, `AVVP` and `AVE_AVVP` of `root`."""
    check_ave(report, root)
    ave = report.attempt(read_ave, root / "AVE")
    tables = data_folder(root / "AVE_AVVP")
    default = tuple(avvp for avvp, _ in ave_avvp_classes())
    classes = report.attempt(read_classes, tables / CATEGORIES, default) or default
    report.classes(tables / CATEGORIES, f"{len(classes)} classes", published=classes == default)
    published = expected("ave-avvp") if classes == default else {}
    order = None if ave is None else _check_order(report, tables, ave, classes, published.get("order", {}))
    _check_separators(report, tables)
    counts = published.get("events", {})
    events = check_event_tables(
        report, root / "AVVP", tables, "AVE_AVVP", classes, counts, compare_splits=bool(published)
    )
    if ave is not None and order is not None:
        train = {ave.video_ids[row] for row in order}
        test = {clip_id(name) for table in events.values() for name in table.names}
        report.note_names(tables, "videos of the training in AVE and the test in AVVP", sorted(train & test))
    report.attempt(read_ave_avvp, root)


def _check_order(
    report: CheckReport, tables: Path, ave: AVEData, classes: tuple[str, ...], published: Mapping[str, int]
) -> NDArray[np.int64] | None:
    """The rows of AVE to train on, after a check of their labels in the shared classes."""
    path = tables / LABELS
    order = report.attempt(read_order, tables / ORDER, len(ave.labels))
    if order is not None:
        parts = {split: len(np.intersect1d(order, ave.order[split])) for split in SPLITS}
        report.compare(tables / ORDER, parts, published)
    shape = report.attempt(array_shape, path, KEY, (*ave.labels.shape[:2], len(classes) + 1))
    labels = None if shape is None else report.attempt(read_array, path, KEY)
    if labels is None or order is None:
        return order
    report.ok(path, f"{list(labels.shape)} {labels.dtype}")
    if labels[np.setdiff1d(np.arange(len(labels)), order)].any():
        report.note(path, "rows that are not in the order have labels")
    if np.isin(labels[order], (0, 1)).all() and (labels[order].sum(-1) > 0).all():
        different = _different_rows(ave, classes, order, labels)
        report.note_names(path, "rows that differ from AVE's own labels", different)
    else:
        report.problem(path, "values other than 0 and 1, or seconds without any label")
    return order


def _different_rows(
    ave: AVEData, classes: tuple[str, ...], order: NDArray[np.int64], labels: NDArray[Any]
) -> list[str]:
    """Rows whose labels are not AVE's own labels under the names that AVVP has for the classes."""
    names = dict(ave_avvp_classes()) | {name: name for name in ave.classes}
    mapped = np.zeros_like(labels[order])
    for column, name in enumerate(classes):
        if (ave_name := names.get(name)) in ave.classes:
            mapped[..., column] = ave.labels[order][..., ave.classes.index(ave_name)]
    mapped[..., -1] = ~mapped[..., :-1].any(-1)
    return [f"row {row}" for row in order[(mapped != labels[order]).any((1, 2))]]


def _check_separators(report: CheckReport, tables: Path) -> None:
    """The published tables of one event a line are separated by commas, the combined tables by tabs."""
    for modality in WORDS:
        for form in FORMS[:2]:
            path = event_table(tables, "AVE_AVVP", modality, form)
            if path.is_file():
                with path.open(encoding="utf-8", errors="replace") as file:
                    tabs = "\t" in file.readline()
                report.ok(path, f"separated by {'tabs' if tabs else 'commas'}")
