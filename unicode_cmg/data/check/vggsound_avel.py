"""`data check vggsound-avel`: the 24K and 40K pretraining list, its prompts and its zips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unicode_cmg.data.categories import category_table, expected, vggsound_avel_classes
from unicode_cmg.data.check.features import check_clips, span
from unicode_cmg.data.check.report import CheckReport, parse_lines, repeated
from unicode_cmg.data.layouts.ave import ANNOTATIONS, annotation_lines
from unicode_cmg.data.layouts.tables import data_folder, read_names, read_table, set_folder
from unicode_cmg.data.layouts.vggsound_avel import (
    CATEGORIES,
    CLIPS,
    FOLDER,
    PROMPTS,
    SPLITS,
    AVELClip,
    check_clip,
    read_prompts,
    read_vggsound_avel,
)
from unicode_cmg.data.layouts.zips import STEPS, zip_folder

_EARLY_UPLOAD = 21_000  # rows; early uploads of the list held about 20 000 of its 40 801


def check_vggsound_avel(report: CheckReport, root: Path) -> None:
    """Check the folder `vggsound40k` of `root`, or `root` itself."""
    folder = set_folder(root, FOLDER)
    tables = data_folder(folder)
    classes = _check_classes(report, tables / CATEGORIES)
    rows: list[tuple[str, ...]] | None = report.attempt(read_table, tables / CLIPS, AVELClip._fields)
    if rows is not None:
        clips = [AVELClip(*row) for row in rows]
        _check_rows(report, tables / CLIPS, clips, classes)
        _check_overlap(report, root, tables / CLIPS, clips)
        for modality in ("audio", "video"):
            ids = [clip.video_id for clip in clips]
            check_clips(report, zip_folder(folder, modality), ids, modality, steps=STEPS)
    _check_prompts(report, tables / PROMPTS, classes)
    report.attempt(read_vggsound_avel, root)


def _check_classes(report: CheckReport, path: Path) -> tuple[str, ...]:
    published = vggsound_avel_classes()
    if not path.is_file():
        report.ok(path, f"not there; the {len(published)} published classes are used")
        return published
    classes: tuple[str, ...] = report.attempt(read_names, path) or published
    others = f"the {len(published)} published ones"
    report.classes(path, f"{len(classes)} classes", published=classes == published, others=others)
    return classes


def _check_rows(report: CheckReport, path: Path, clips: Sequence[AVELClip], classes: tuple[str, ...]) -> None:
    published = expected("vggsound-avel") if classes == vggsound_avel_classes() else {}
    splits = Counter(clip.split for clip in clips)
    report.compare(path, {"clips": len(clips)} | {split: splits[split] for split in SPLITS}, published)
    if published and len(clips) < _EARLY_UPLOAD:
        report.note(path, "as many rows as early uploads of this file had; download it again for 40K")
    _, errors = parse_lines(lambda _, clip: check_clip(clip, classes, where=path), clips, path)
    report.problems(path, errors)
    report.note_names(path, "clips listed twice", repeated(clip.video_id for clip in clips))
    odd = [clip.video_id for clip in clips if len(clip.video_id) != 11]
    report.note_names(path, "names that are not 11 characters long", odd)
    counts = Counter(clip.category for clip in clips)
    report.note_names(path, "classes without a clip", [name for name in classes if not counts[name]])
    if published and len(clips) == published["clips"]:
        wrong = [
            row["category"]
            for row in category_table("vggsound_avel")
            if counts[row["category"]] != sum(int(row[split]) for split in SPLITS)
        ]
        report.note_names(path, "classes with another number of clips", wrong)


def _check_prompts(report: CheckReport, path: Path, classes: tuple[str, ...]) -> None:
    if not path.is_file():
        report.note(path, "not there; without a sentence for each class there is no text to train on")
        return
    prompts = report.attempt(read_prompts, path, classes)
    if prompts is not None:
        lengths = span(len(prompt.split()) for prompt in prompts.values())
        report.ok(path, f"{len(prompts)} sentences of {lengths} words")


def _check_overlap(report: CheckReport, root: Path, path: Path, clips: Sequence[AVELClip]) -> None:
    """Note videos of the pretraining that are also in AVE, on which models are evaluated."""
    annotations = data_folder(root / "AVE") / ANNOTATIONS
    if annotations.is_file():
        ave = {line.split("&")[1] for line in annotation_lines(annotations)[0] if line.count("&") == 4}
        shared = sorted(ave & {clip.video_id for clip in clips})
        report.note_names(path, "videos that are also in AVE", shared)
