"""`data check ave-avvp`: AVE, the shared classes, and the AVVP clips that test them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.categories import ave_avvp_classes, expected
from unicode_cmg.data.check.ave import check_ave
from unicode_cmg.data.check.avvp import check_event_clips, check_sharing, check_splits
from unicode_cmg.data.check.events import check_events
from unicode_cmg.data.check.findings import Findings, named
from unicode_cmg.data.layouts._events import FORMS, WORDS, event_table
from unicode_cmg.data.layouts._h5 import read_array
from unicode_cmg.data.layouts._tables import data_folder
from unicode_cmg.data.layouts.ave import KEY, SPLITS, AVEData, read_ave, read_order
from unicode_cmg.data.layouts.ave_avvp import CATEGORIES, LABELS, ORDER, read_ave_avvp
from unicode_cmg.data.layouts.avvp import clip_id, read_classes


def check_ave_avvp(findings: Findings, root: Path) -> None:
    """Check the folders `AVE`, `AVVP` and `AVE_AVVP` of `root`."""
    check_ave(findings, root)
    ave = findings.attempt(read_ave, root / "AVE")
    tables = data_folder(root / "AVE_AVVP")
    default = tuple(avvp for avvp, _ in ave_avvp_classes())
    classes = findings.attempt(read_classes, tables / CATEGORIES, default) or default
    published = classes == default
    if published:
        findings.ok(tables / CATEGORIES, f"{len(classes)} classes, in the published order")
    else:
        findings.note(tables / CATEGORIES, f"{len(classes)} classes, which are not the published ones")
    order = None if ave is None else _check_order(findings, tables, ave, classes, published=published)
    splits = check_splits(findings, data_folder(root / "AVVP"), published=published)
    _check_separators(findings, tables)
    events = check_events(
        findings, tables, "AVE_AVVP", classes, expected("ave-avvp")["events"] if published else {}
    )
    check_sharing(findings, tables, splits, events)
    check_event_clips(findings, root / "AVVP", events)
    if ave is not None and order is not None:
        trained = {ave.video_ids[row] for row in order}
        tested = {clip_id(name) for found in events.values() for name in found.names}
        if shared := sorted(trained & tested):
            findings.note(tables, named("videos that train in AVE and test in AVVP", shared))
    findings.attempt(read_ave_avvp, root)


def _check_order(
    findings: Findings, tables: Path, ave: AVEData, classes: tuple[str, ...], *, published: bool
) -> NDArray[np.int64] | None:
    """The rows of AVE that train, after a look at their labels in the shared classes."""
    order = findings.attempt(read_order, tables / ORDER, len(ave.labels))
    labels = findings.attempt(read_array, tables / LABELS, KEY)
    if order is not None:
        parts = {split: len(np.intersect1d(order, ave.order[split])) for split in SPLITS}
        findings.compare(tables / ORDER, parts, expected("ave-avvp")["order"] if published else {})
    shape = (*ave.labels.shape[:2], len(classes) + 1)
    if labels is not None and labels.shape != shape:
        findings.problem(tables / LABELS, f"the array is {list(labels.shape)}; expected {list(shape)}")
    elif labels is not None and order is not None:
        findings.ok(tables / LABELS, f"{list(shape)} {labels.dtype}")
        outside = np.setdiff1d(np.arange(len(labels)), order)
        if labels[outside].any():
            findings.note(tables / LABELS, "rows that are not in the order have labels")
        binary = np.isin(labels[order], (0, 1)).all() and (labels[order].sum(-1) > 0).all()
        if not binary:
            findings.problem(tables / LABELS, "values other than 0 and 1, or seconds without any label")
        else:
            _compare_labels(findings, tables, ave, classes, order, labels)
    return order


def _compare_labels(
    findings: Findings,
    tables: Path,
    ave: AVEData,
    classes: tuple[str, ...],
    order: NDArray[np.int64],
    labels: NDArray[Any],
) -> None:
    """The same seconds as AVE's own labels, under the name that AVVP has for the class."""
    names = dict(ave_avvp_classes()) | {name: name for name in ave.classes}
    wrong = []
    for row in order:
        own = ave.labels[row]
        mapped = np.zeros_like(labels[row])
        for column, name in enumerate(classes):
            if (ave_name := names.get(name)) in ave.classes:
                mapped[:, column] = own[:, ave.classes.index(ave_name)]
        mapped[:, -1] = ~mapped[:, :-1].any(1)
        if not np.array_equal(mapped, labels[row]):
            wrong.append(f"row {row}")
    if wrong:
        findings.note(tables / LABELS, named("rows that differ from AVE's own labels", wrong))


def _check_separators(findings: Findings, tables: Path) -> None:
    """The published tables of one event a line have commas, the combined ones tabs."""
    for modality in WORDS:
        for form in FORMS[:2]:
            path = event_table(tables, "AVE_AVVP", modality, form)
            if not path.is_file():
                continue
            with path.open(encoding="utf-8", errors="replace") as file:
                tabs = "\t" in file.readline()
            findings.ok(path, f"separated by {'tabs' if tabs else 'commas'}")
