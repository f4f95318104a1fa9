"""`data check ucf-vgg`: pairs of classes, the clips of both sides, and their zips."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unicode_cmg.data.categories import category_table, expected, ucf_vgg_classes
from unicode_cmg.data.check.clips import check_clips
from unicode_cmg.data.check.findings import Findings, named, repeated
from unicode_cmg.data.layouts._tables import data_folder, read_names, read_table
from unicode_cmg.data.layouts.ucf_vgg import (
    STEPS,
    UCF_CLASSES,
    UCF_CLIPS,
    UCF_FEATURES,
    VGG_CLASSES,
    VGG_CLIPS,
    VGG_FEATURES,
    read_class_list,
    read_ucf_vgg,
)

_UCF_NAME = re.compile(r"v_(\w+)_g\d{2}_c\d{2}")
_SUBSETS = (8, 12)


def check_ucf_vgg(findings: Findings, root: Path) -> None:
    """Check the folders `UCF101` and `vggsound40k` of `root`."""
    tables = data_folder(root / "UCF101")
    ucf = findings.attempt(read_class_list, tables / UCF_CLASSES) or ()
    vgg = findings.attempt(read_class_list, tables / VGG_CLASSES) or ()
    published = (ucf, vgg) == tuple(zip(*ucf_vgg_classes(), strict=True))
    _check_classes(findings, tables, ucf, vgg, published=published)
    counts = {}
    for file, classes, folder, modality, column in (
        (UCF_CLIPS, ucf, root / UCF_FEATURES, "video", None),
        (VGG_CLIPS, vgg, root / VGG_FEATURES, "audio", "split"),
    ):
        path = tables / f"{file}.csv"
        columns = ("category", "video_id", *([column] if column else []))
        rows: list[tuple[str, ...]] | None = findings.attempt(read_table, path, columns)
        if rows is not None:
            findings.compare(path, {modality: len(rows)}, expected("ucf-vgg") if published else {})
            counts[modality] = _check_rows(findings, path, rows, classes)
            _check_subsets(findings, tables, file, rows, classes)
            check_clips(findings, folder, [row[1] for row in rows], modality, steps=STEPS)
    if len(counts) == 2:
        _check_pairs(findings, tables, ucf, vgg, counts, published=published)
    findings.attempt(read_ucf_vgg, root)


def _check_classes(
    findings: Findings, tables: Path, ucf: tuple[str, ...], vgg: tuple[str, ...], *, published: bool
) -> None:
    if published:
        findings.ok(tables, f"{len(ucf)} pairs of classes, in the published order")
    elif ucf and vgg:
        findings.note(tables, f"{len(ucf)} pairs of classes, which are not the published ones")
    if ucf and vgg and len(ucf) != len(vgg):
        findings.problem(tables / VGG_CLASSES, f"{len(vgg)} classes; expected {len(ucf)}, one a pair")
    for file in (UCF_CLASSES, VGG_CLASSES):
        names = read_names(tables / file) if (tables / file).is_file() else ()
        for number, name in enumerate(names, 1):
            if "\t" in name:
                findings.note(
                    tables / file, f"line {number} is {name!r}; the class is what stands before the tab"
                )


def _check_rows(
    findings: Findings, path: Path, rows: Sequence[Sequence[str]], classes: Sequence[str]
) -> Counter[str]:
    """Clips by class."""
    if classes:
        unknown = [f"the class '{row[0]}' of '{row[1]}'" for row in rows if row[0] not in classes]
        findings.errors(path, unknown)
    if twice := repeated(row[1] for row in rows):
        findings.note(path, named("clips listed twice", twice))
    if len(rows[0]) == 2:
        odd = [row[1] for row in rows if not (name := _UCF_NAME.fullmatch(row[1])) or name[1] != row[0]]
        if odd:
            findings.note(path, named("names other than v_<class>_g<group>_c<clip>", odd))
    else:
        splits = Counter(row[2] for row in rows)
        findings.ok(path, ", ".join(f"{count} {split}" for split, count in splits.items()))
        strange = sorted(set(splits) - {"train", "val", "test"})
        if strange:
            findings.note(path, named("splits other than train, val and test", strange))
    return Counter(row[0] for row in rows)


def _check_subsets(
    findings: Findings, tables: Path, file: str, rows: Sequence[tuple[str, ...]], classes: Sequence[str]
) -> None:
    """The lists of the open-set experiments are the rows of the first classes."""
    for count in _SUBSETS:
        path = tables / f"{file}_{count}.csv"
        if not path.is_file():
            continue
        part = findings.attempt(read_table, path, ("category", "video_id"))
        if part is not None:
            wanted = [tuple(row[:2]) for row in rows if row[0] in classes[:count]]
            same = part == wanted
            what = f"the rows of the first {count} classes"
            (findings.ok if same else findings.note)(path, what if same else f"not {what}")


def _check_pairs(
    findings: Findings,
    tables: Path,
    ucf: tuple[str, ...],
    vgg: tuple[str, ...],
    counts: dict[str, Counter[str]],
    *,
    published: bool,
) -> None:
    both = 0
    for index, (one, other) in enumerate(zip(ucf, vgg, strict=False)):
        video, audio = counts["video"][one], counts["audio"][other]
        both += bool(video and audio)
        if not (video and audio):
            findings.note(tables, f"pair {index} is broken: {video} clips of '{one}', {audio} of '{other}'")
        if published:
            row = category_table("ucf_vgg")[index]
            if (video, audio) != (int(row["ucf_rows"]), int(row["vgg_rows"])):
                findings.note(
                    tables,
                    f"pair {index} has {video} and {audio} clips; published {row['ucf_rows']} and"
                    f" {row['vgg_rows']}",
                )
    if both:
        findings.ok(tables, f"{both} pairs have clips on both sides")
    else:
        findings.problem(tables, "no pair has clips on both sides")
