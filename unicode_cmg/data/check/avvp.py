"""`data check avvp`: lists of splits, tables of events and zips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from unicode_cmg.data.categories import avvp_classes, expected
from unicode_cmg.data.check.clips import check_clips
from unicode_cmg.data.check.events import Events, check_events, check_names
from unicode_cmg.data.check.findings import Findings, named, repeated
from unicode_cmg.data.layouts._events import STEPS, WORDS
from unicode_cmg.data.layouts._tables import data_folder, read_table
from unicode_cmg.data.layouts.avvp import CATEGORIES, SPLITS, clip_id, read_avvp, read_classes


def check_avvp(findings: Findings, root: Path) -> None:
    """Check an AVVP folder: `root`, or `AVVP` in it."""
    folder = root / "AVVP" if (root / "AVVP").is_dir() else root
    tables = data_folder(folder)
    classes = findings.attempt(read_classes, tables / CATEGORIES, avvp_classes()) or avvp_classes()
    published = _check_classes(findings, tables / CATEGORIES, classes)
    splits = check_splits(findings, tables, published=published)
    events = check_events(findings, tables, "AVVP", classes, expected("avvp")["events"] if published else {})
    check_sharing(findings, tables, splits, events)
    check_event_clips(findings, folder, events)
    findings.attempt(read_avvp, folder)


def _check_classes(findings: Findings, path: Path, classes: tuple[str, ...]) -> bool:
    """Whether they are the published ones, in whatever order."""
    if not path.is_file():
        findings.ok(path, f"not there; the {len(classes)} published classes are used, in the order of CMG")
    elif classes in (avvp_classes("cmg"), avvp_classes("official")):
        order = "CMG" if classes == avvp_classes("cmg") else "the data set itself"
        findings.ok(path, f"{len(classes)} classes, in the order of {order}")
    elif set(classes) == set(avvp_classes()):
        findings.note(path, f"{len(classes)} classes, in an order of their own")
    else:
        findings.note(
            path, f"{len(classes)} classes, which are not those of AVVP; nothing is compared with its counts"
        )
    return set(classes) == set(avvp_classes())


def check_splits(findings: Findings, tables: Path, *, published: bool) -> dict[str, tuple[str, ...]]:
    """Check the lists of train, val and test clips.

    Returns:
        Split -> names of the clips, of the lists that can be read.
    """
    splits: dict[str, tuple[str, ...]] = {}
    for split, file in SPLITS.items():
        table: list[tuple[str, ...]] | None = findings.attempt(read_table, tables / file, ("filename",))
        if table is None:
            continue
        names = [name for (name,) in table]
        counts = expected("avvp")["splits"] if published else {}
        findings.compare(tables / file, {split: len(names)}, counts)
        if twice := repeated(names):
            findings.note(tables / file, named("clips listed twice", twice))
        check_names(findings, tables / file, names)
        splits[split] = tuple(names)
    return splits


def check_sharing(
    findings: Findings, tables: Path, splits: Mapping[str, tuple[str, ...]], events: Mapping[str, Events]
) -> None:
    """Note which clips and videos are on both sides of what should be apart."""
    if set(events) == set(WORDS):
        names = [set(events[modality].names) for modality in WORDS]
        findings.note(
            tables,
            f"clips in the audio and in the visual table: {len(names[0] & names[1])}; the published recipe"
            " trains on the one and tests on the other",
        )
    if len(splits) < len(SPLITS):
        return
    videos = {split: {clip_id(name) for name in names} for split, names in splits.items()}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if both := sorted(videos[one] & videos[other]):
            findings.note(tables, named(f"videos in {one} and in {other}", both))
    members = {split: set(names) for split, names in splits.items()}
    for found in events.values():
        parts = {split: sum(name in names for name in found.names) for split, names in members.items()}
        nowhere = [name for name in found.names if not any(name in names for names in members.values())]
        findings.ok(found.path, ", ".join(f"{count} clips in {split}" for split, count in parts.items()))
        if nowhere:
            findings.note(found.path, named("clips in no split", nowhere))


def check_event_clips(findings: Findings, folder: Path, events: Mapping[str, Events]) -> None:
    """Check the zips that the tables ask for, in the AVVP folder."""
    for modality, found in events.items():
        ids = [clip_id(name) for name in found.names]
        check_clips(findings, folder / "feature" / modality / "zip", ids, modality, steps=STEPS)
