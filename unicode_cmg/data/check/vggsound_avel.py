"""`data check vggsound-avel`: the 24K and 40K pretraining list, its prompts and its zips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unicode_cmg.data.categories import category_table, expected, vggsound_avel_classes
from unicode_cmg.data.check.clips import check_clips
from unicode_cmg.data.check.findings import Findings, named, repeated
from unicode_cmg.data.layouts._annotations import annotation_lines
from unicode_cmg.data.layouts._tables import data_folder, read_names, read_table
from unicode_cmg.data.layouts.ave import ANNOTATIONS
from unicode_cmg.data.layouts.vggsound_avel import (
    CATEGORIES,
    CLIPS,
    PROMPTS,
    SPLITS,
    STEPS,
    AVELClip,
    check_clip,
    read_prompts,
    read_vggsound_avel,
)
from unicode_cmg.errors import InputError

_EARLY_UPLOAD = 21_000  # rows; early uploads of the list held about 20 000 of its 40 801
_FOLDER = "vggsound40k"


def check_vggsound_avel(findings: Findings, root: Path) -> None:
    """Check the folder `vggsound40k` of `root`, or `root` itself."""
    folder = root / _FOLDER if (root / _FOLDER).is_dir() else root
    tables = data_folder(folder)
    classes = _check_classes(findings, tables / CATEGORIES)
    rows: list[tuple[str, ...]] | None = findings.attempt(read_table, tables / CLIPS, AVELClip._fields)
    if rows is not None:
        clips = [AVELClip(*row) for row in rows]
        _check_rows(findings, tables / CLIPS, clips, classes)
        _check_overlap(findings, root, tables / CLIPS, clips)
        for modality in ("audio", "video"):
            ids = [clip.video_id for clip in clips]
            check_clips(findings, folder / "feature" / modality / "zip", ids, modality, steps=STEPS)
    _check_prompts(findings, tables / PROMPTS, classes)
    findings.attempt(read_vggsound_avel, root)


def _check_classes(findings: Findings, path: Path) -> tuple[str, ...]:
    published = vggsound_avel_classes()
    if not path.is_file():
        findings.ok(path, f"not there; the {len(published)} published classes are used")
        return published
    classes: tuple[str, ...] = findings.attempt(read_names, path) or published
    if classes == published:
        findings.ok(path, f"{len(classes)} classes, in the published order")
    else:
        findings.note(path, f"{len(classes)} classes, which are not the {len(published)} published ones")
    return classes


def _check_rows(findings: Findings, path: Path, clips: Sequence[AVELClip], classes: tuple[str, ...]) -> None:
    published = expected("vggsound-avel") if classes == vggsound_avel_classes() else {}
    found = {"clips": len(clips)} | {s: sum(clip.split == s for clip in clips) for s in SPLITS}
    findings.compare(path, found, published)
    if published and len(clips) < _EARLY_UPLOAD:
        findings.note(path, "as many rows as early uploads of this file had; download it again for 40K")
    errors = []
    for clip in clips:
        try:
            check_clip(clip, classes, where="")
        except InputError as error:
            errors.append(str(error).removeprefix(": "))
    findings.errors(path, errors)
    if twice := repeated(clip.video_id for clip in clips):
        findings.note(path, named("clips listed twice", twice))
    if odd := [clip.video_id for clip in clips if len(clip.video_id) != 11]:
        findings.note(path, named("names that are not 11 characters long", odd))
    counts = Counter(clip.category for clip in clips)
    if absent := [name for name in classes if not counts[name]]:
        findings.note(path, named("classes without a clip", absent))
    if published and len(clips) == published["clips"]:
        totals = {
            row["category"]: sum(int(row[split]) for split in SPLITS)
            for row in category_table("vggsound_avel")
        }
        wrong = [name for name in classes if counts[name] != totals[name]]
        if wrong:
            findings.note(path, named("classes with another number of clips", wrong))


def _check_prompts(findings: Findings, path: Path, classes: tuple[str, ...]) -> None:
    if not path.is_file():
        findings.note(path, "not there; without a sentence for each class there is no text to train on")
        return
    prompts = findings.attempt(read_prompts, path, classes)
    if prompts is not None:
        lengths = [len(prompt.split()) for prompt in prompts.values()]
        findings.ok(path, f"{len(prompts)} sentences of {min(lengths)} to {max(lengths)} words")


def _check_overlap(findings: Findings, root: Path, path: Path, clips: Sequence[AVELClip]) -> None:
    """Videos that the models will have seen before they are evaluated on AVE."""
    annotations = data_folder(root / "AVE") / ANNOTATIONS
    if annotations.is_file():
        evaluated = {line.split("&")[1] for line in annotation_lines(annotations)[0] if line.count("&") == 4}
        if shared := sorted(evaluated & {clip.video_id for clip in clips}):
            findings.note(path, named("videos that are also in AVE", shared))
