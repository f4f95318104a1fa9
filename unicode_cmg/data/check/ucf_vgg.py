"""`data check ucf-vgg`: pairs of classes, the clips of both sides, and their zips."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from unicode_cmg.data.categories import category_table, expected, ucf_vgg_classes
from unicode_cmg.data.check.features import check_clips
from unicode_cmg.data.check.report import CheckReport, parse_lines, repeated
from unicode_cmg.data.layouts.tables import check_class, data_folder, read_names, read_table
from unicode_cmg.data.layouts.ucf_vgg import (
    UCF_CLASSES,
    UCF_CLIPS,
    UCF_FEATURES,
    VGG_CLASSES,
    VGG_CLIPS,
    VGG_FEATURES,
    read_class_list,
    read_ucf_vgg,
)
from unicode_cmg.data.layouts.zips import STEPS

_UCF_NAME = re.compile(r"v_(\w+)_g\d{2}_c\d{2}")
_SUBSETS = (8, 12)


def check_ucf_vgg(report: CheckReport, root: Path) -> None:
    """Check the folders `UCF101` and `vggsound40k` of `root`."""
    tables = data_folder(root / "UCF101")
    ucf = report.attempt(read_class_list, tables / UCF_CLASSES) or ()
    vgg = report.attempt(read_class_list, tables / VGG_CLASSES) or ()
    published = (ucf, vgg) == tuple(zip(*ucf_vgg_classes(), strict=True))
    _check_classes(report, tables, ucf, vgg, published=published)
    counts = {}
    for file, classes, folder, modality, columns in (
        (UCF_CLIPS, ucf, root / UCF_FEATURES, "video", ("category", "video_id")),
        (VGG_CLIPS, vgg, root / VGG_FEATURES, "audio", ("category", "video_id", "split")),
    ):
        path = tables / f"{file}.csv"
        rows: list[tuple[str, ...]] | None = report.attempt(read_table, path, columns)
        if rows is not None:
            report.compare(path, {modality: len(rows)}, expected("ucf-vgg") if published else {})
            _check_rows(report, path, rows, classes)
            _check_subsets(report, tables, file, rows, classes)
            check_clips(report, folder, [row[1] for row in rows], modality, steps=STEPS)
            counts[modality] = Counter(row[0] for row in rows)
    if len(counts) == 2:
        _check_pairs(report, tables, list(zip(ucf, vgg, strict=False)), counts, published=published)
    report.attempt(read_ucf_vgg, root)


def _check_classes(
    report: CheckReport, tables: Path, ucf: tuple[str, ...], vgg: tuple[str, ...], *, published: bool
) -> None:
    if ucf and vgg:
        report.classes(tables, f"{len(ucf)} pairs of classes", published=published)
        if len(ucf) != len(vgg):
            report.problem(
                tables / VGG_CLASSES, f"{len(vgg)} classes; expected {len(ucf)}, one for each pair"
            )
    for path in (tables / UCF_CLASSES, tables / VGG_CLASSES):
        for number, name in enumerate(read_names(path) if path.is_file() else (), 1):
            if "\t" in name:
                report.note(path, f"line {number} is {name!r}; the class is the part before the tab")


def _check_rows(
    report: CheckReport, path: Path, rows: Sequence[tuple[str, ...]], classes: Sequence[str]
) -> None:
    if classes:
        _, errors = parse_lines(
            lambda _, row: check_class(row[0], classes, clip=row[1], where=path), rows, path
        )
        report.problems(path, errors)
    report.note_names(path, "clips listed twice", repeated(row[1] for row in rows))
    if len(rows[0]) == 2:
        odd = [row[1] for row in rows if not (name := _UCF_NAME.fullmatch(row[1])) or name[1] != row[0]]
        report.note_names(path, "names other than v_<class>_g<group>_c<clip>", odd)
    else:
        splits = Counter(row[2] for row in rows)
        report.ok(path, ", ".join(f"{count} {split}" for split, count in splits.items()))
        odd = sorted(set(splits) - {"train", "val", "test"})
        report.note_names(path, "splits other than train, val and test", odd)


def _check_subsets(
    report: CheckReport, tables: Path, file: str, rows: Sequence[tuple[str, ...]], classes: Sequence[str]
) -> None:
    """The lists of the open-set experiments are the rows of the first classes."""
    for count in _SUBSETS:
        path = tables / f"{file}_{count}.csv"
        part = report.attempt(read_table, path, ("category", "video_id")) if path.is_file() else None
        if part is not None:
            same = part == [row[:2] for row in rows if row[0] in classes[:count]]
            what = f"the rows of the first {count} classes"
            (report.ok if same else report.note)(path, what if same else f"not {what}")


def _check_pairs(
    report: CheckReport,
    tables: Path,
    pairs: Sequence[tuple[str, str]],
    counts: Mapping[str, Counter[str]],
    *,
    published: bool,
) -> None:
    complete = 0
    for index, (ucf, vgg) in enumerate(pairs):
        video, audio = counts["video"][ucf], counts["audio"][vgg]
        complete += bool(video and audio)
        if not (video and audio):
            report.note(tables, f"pair {index} is broken: {video} clips of '{ucf}', {audio} of '{vgg}'")
        row = category_table("ucf_vgg")[index] if published else {}
        known = row and (row["ucf_rows"], row["vgg_rows"])
        if known and known != (f"{video}", f"{audio}"):
            what = f"pair {index} has {video} and {audio} clips; published {known[0]} and {known[1]}"
            report.note(tables, what)
    if complete:
        report.ok(tables, f"{complete} pairs have clips on both sides")
    else:
        report.problem(tables, "no pair has clips on both sides")
