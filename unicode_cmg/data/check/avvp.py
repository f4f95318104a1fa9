"""`data check avvp`: lists of splits, tables of events and zips; the same checks serve AVE -> AVVP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from unicode_cmg.data.categories import avvp_classes, expected
from unicode_cmg.data.check.features import check_clips
from unicode_cmg.data.check.report import CheckReport, parse_lines, repeated, shorten
from unicode_cmg.data.layouts.avvp import (
    CATEGORIES,
    EVENT_COLUMNS,
    FORMS,
    SPLITS,
    WORDS,
    EventRow,
    clip_id,
    event_labels,
    event_table,
    join_rows,
    parse_events,
    read_avvp,
    read_classes,
)
from unicode_cmg.data.layouts.tables import data_folder, read_table, set_folder
from unicode_cmg.data.layouts.zips import STEPS, zip_folder
from unicode_cmg.errors import InputError

_NAME = re.compile(r"[\w-]{11}_\d+_\d+")


@dataclass(frozen=True)
class Events:
    """What could be read of the tables of one modality: `rows` of the form that evaluations read."""

    path: Path
    rows: tuple[EventRow, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The clips, each once."""
        return tuple(dict.fromkeys(row.filename for row in self.rows))


def check_avvp(report: CheckReport, root: Path) -> None:
    """Check an AVVP folder: `root`, or `AVVP` in it."""
    folder = set_folder(root, "AVVP")
    tables = data_folder(folder)
    classes = report.attempt(read_classes, tables / CATEGORIES, avvp_classes()) or avvp_classes()
    published = set(classes) == set(avvp_classes())
    _check_classes(report, tables / CATEGORIES, classes)
    counts = expected("avvp")["events"] if published else {}
    check_event_tables(report, folder, tables, "AVVP", classes, counts, compare_splits=published)
    report.attempt(read_avvp, folder)


def check_event_tables(
    report: CheckReport,
    folder: Path,
    tables: Path,
    prefix: str,
    classes: tuple[str, ...],
    published: Mapping[str, Any],
    *,
    compare_splits: bool,
) -> dict[str, Events]:
    """Check the lists of splits, the tables of events, what they share, and the zips of their clips.

    Args:
        report: Where to add entries.
        folder: The AVVP folder, with the lists of splits and the zips.
        tables: The folder of the tables of events.
        prefix: The beginning of their names.
        classes: The classes that events may have.
        published: Counts of lines and clips by modality and form; empty if the data is not the published one.
        compare_splits: Whether to compare the sizes of the splits with the published ones.

    Returns:
        Modality -> the events in the form that is read; nothing for a modality without a table.
    """
    splits = _check_splits(report, data_folder(folder), compare=compare_splits)
    events = _check_events(report, tables, prefix, classes, published)
    _check_sharing(report, tables, splits, events)
    for modality, table in events.items():
        ids = [clip_id(name) for name in table.names]
        check_clips(report, zip_folder(folder, modality), ids, modality, steps=STEPS)
    return events


def _check_classes(report: CheckReport, path: Path, classes: tuple[str, ...]) -> None:
    if not path.is_file():
        report.ok(path, f"not there; the {len(classes)} published classes are used, in the order of CMG")
    elif classes in (avvp_classes("cmg"), avvp_classes("official")):
        order = "CMG" if classes == avvp_classes("cmg") else "the data set itself"
        report.ok(path, f"{len(classes)} classes, in the order of {order}")
    elif set(classes) == set(avvp_classes()):
        report.note(path, f"{len(classes)} classes, in an order of their own")
    else:
        report.note(
            path, f"{len(classes)} classes, which are not those of AVVP; nothing is compared with its counts"
        )


def _check_splits(report: CheckReport, tables: Path, *, compare: bool) -> dict[str, tuple[str, ...]]:
    """Split -> names of the clips, of the lists that can be read."""
    counts = expected("avvp")["splits"] if compare else {}
    splits = {}
    for split, file in SPLITS.items():
        table: list[tuple[str, ...]] | None = report.attempt(read_table, tables / file, ("filename",))
        if table is not None:
            names = tuple(name for (name,) in table)
            report.compare(tables / file, {split: len(names)}, counts)
            report.note_names(tables / file, "clips listed twice", repeated(names))
            _check_names(report, tables / file, names)
            splits[split] = names
    return splits


def _check_names(report: CheckReport, path: Path, names: Sequence[str]) -> None:
    """Note names that are not `<11 characters>_<start>_<end>`; they are used as they are."""
    odd = [name for name in names if not _NAME.fullmatch(name)]
    report.note_names(path, "malformed names, of which the first 11 characters are looked up", odd)


def _check_events(
    report: CheckReport, tables: Path, prefix: str, classes: tuple[str, ...], published: Mapping[str, Any]
) -> dict[str, Events]:
    """Check all forms of the tables that are there."""
    events = {}
    for modality in WORDS:
        paths = {form: event_table(tables, prefix, modality, form) for form in FORMS}
        forms = [form for form in FORMS if paths[form].is_file()]
        if not forms:
            others = ", ".join(FORMS[1:-1])
            report.problem(paths[FORMS[0]], f"no such file, and no other form of it: {others} or none")
            continue
        readings = {}
        for form in forms:
            rows = _check_table(report, paths[form], classes, is_read=form == forms[0])
            if rows:
                readings[form] = Events(paths[form], join_rows(rows))
                counts = {"lines": len(rows), "clips": len(readings[form].names)}
                report.compare(paths[form], counts, published.get(modality, {}).get(form, {}))
        if forms[0] in readings:
            events[modality] = readings[forms[0]]
            labels = published.get(modality, {}).get("labels", {}) if forms[0] else {}
            _describe(report, events[modality], classes, labels)
        combined, single = readings.get(FORMS[0]), readings.get(FORMS[1])
        if combined and single and combined.rows != single.rows:
            report.note(combined.path, f"differs from the joined consecutive rows of {single.path.name}")
    return events


def _check_table(
    report: CheckReport, path: Path, classes: tuple[str, ...], *, is_read: bool
) -> list[EventRow]:
    """The lines that can be read. The others are problems if evaluations read this table, else notes."""
    try:
        lines = read_table(path, EVENT_COLUMNS)
        rows, errors = parse_lines(
            lambda _, line: EventRow(line[0], parse_events(line, classes, where=path)), lines, path
        )
    except InputError as error:
        rows, errors = [], [str(error).removeprefix(f"{path}: ")]
    if errors:
        (report.problem if is_read else report.note)(path, shorten(errors, separator="; "))
    return [row for row in rows if row is not None]


def _describe(
    report: CheckReport, events: Events, classes: tuple[str, ...], published: Mapping[str, int]
) -> None:
    path, rows = events.path, events.rows
    lengths = [event.offset - event.onset for row in rows for event in row.events]
    if empty := lengths.count(0):
        report.note(path, f"events that begin and end at the same second, and have no effect: {empty}")
    reversed_ = [
        f"{row.filename} from {event.onset} to {event.offset}"
        for row in rows
        for event in row.events
        if event.offset < event.onset
    ]
    report.note_names(path, "events that end before they begin, and have no effect", reversed_)
    report.note_names(
        path,
        "clips listed twice, each time with some of their events",
        repeated(row.filename for row in rows),
        "; a held-out protocol leaves them out",
    )
    _check_names(report, path, events.names)
    report.note_names(path, "names that are a class", [name for name in events.names if name in classes])
    absent = set(classes) - {event.label for row in rows for event in row.events}
    report.note_names(path, "classes without an event", sorted(absent))
    labels = [event_labels(row.events, classes) for row in rows]
    counts = {
        "seconds": STEPS * len(rows),
        "seconds of background": round(sum(float(label[:, -1].sum()) for label in labels)),
        "labels": round(sum(float(label.sum()) for label in labels)),
    }
    report.compare(path, counts, published)


def _check_sharing(
    report: CheckReport, tables: Path, splits: Mapping[str, tuple[str, ...]], events: Mapping[str, Events]
) -> None:
    """Note clips and videos that occur in two parts that should be disjoint."""
    if set(events) == set(WORDS):
        both = set.intersection(*(set(table.names) for table in events.values()))
        report.note(
            tables,
            f"clips in the audio and in the visual table: {len(both)}; the published recipe trains on one"
            " modality and tests on the other",
        )
    if len(splits) < len(SPLITS):
        return
    videos = {split: {clip_id(name) for name in names} for split, names in splits.items()}
    for one, other in combinations(splits, 2):
        report.note_names(tables, f"videos in {one} and in {other}", sorted(videos[one] & videos[other]))
    members = {split: set(names) for split, names in splits.items()}
    for table in events.values():
        parts = {split: sum(name in names for name in table.names) for split, names in members.items()}
        report.ok(table.path, ", ".join(f"{count} clips in {split}" for split, count in parts.items()))
        listed = set().union(*members.values())
        report.note_names(table.path, "clips in no split", [n for n in table.names if n not in listed])
