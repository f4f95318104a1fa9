"""Tables of events with times, as AVVP and AVE->AVVP have them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unicode_cmg.data.check.findings import Findings, named, repeated, shorten
from unicode_cmg.data.layouts._events import (
    EVENT_COLUMNS,
    FORMS,
    STEPS,
    WORDS,
    EventRow,
    event_labels,
    event_table,
    join_rows,
    parse_events,
)
from unicode_cmg.data.layouts._tables import read_table
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


def check_events(
    findings: Findings, tables: Path, prefix: str, classes: tuple[str, ...], published: Mapping[str, Any]
) -> dict[str, Events]:
    """Check every form of the tables that is there.

    Args:
        findings: Where to write.
        tables: Their folder.
        prefix: How their names begin.
        classes: That events may have.
        published: Counts of lines and clips by modality and form; empty if the data is not the published one.

    Returns:
        Modality -> the events in the form that is read; none of a modality without a table.
    """
    found = {}
    for modality in WORDS:
        forms = [form for form in FORMS if event_table(tables, prefix, modality, form).is_file()]
        if not forms:
            path = event_table(tables, prefix, modality, FORMS[0])
            findings.problem(path, f"no such file, and no other form of it: {', '.join(FORMS[1:-1])} or none")
            continue
        readings = {}
        for form in forms:
            path = event_table(tables, prefix, modality, form)
            rows = _check_table(findings, path, classes, is_read=form == forms[0])
            if rows is not None:
                readings[form] = Events(path, join_rows(rows))
                counts = {"lines": len(rows), "clips": len(readings[form].names)}
                findings.compare(path, counts, published.get(modality, {}).get(form, {}))
        if forms[0] in readings:
            found[modality] = readings[forms[0]]
            _describe(findings, found[modality], classes)
        combined, single = readings.get(FORMS[0]), readings.get(FORMS[1])
        if combined and single and combined.rows != single.rows:
            findings.note(combined.path, f"not what joining the consecutive rows of {single.path.name} gives")
    return found


def _check_table(
    findings: Findings, path: Path, classes: tuple[str, ...], *, is_read: bool
) -> list[EventRow] | None:
    """The lines that can be read; the others are problems, in the table that evaluations read."""
    rows, errors = [], []
    try:
        for line in read_table(path, EVENT_COLUMNS):
            try:
                rows.append(EventRow(line[0], parse_events(line, classes, where="")))
            except InputError as error:
                errors.append(str(error).removeprefix(": "))
    except InputError as error:
        errors.append(str(error).removeprefix(f"{path}: "))
    if errors:
        tell = findings.problem if is_read else findings.note
        tell(path, shorten(errors, separator="; "))
    return rows or None


def _describe(findings: Findings, events: Events, classes: tuple[str, ...]) -> None:
    path, rows = events.path, events.rows
    empty = sum(event.onset == event.offset for row in rows for event in row.events)
    if empty:
        findings.note(path, f"events that begin and end at the same second, and count for nothing: {empty}")
    if twice := repeated(row.filename for row in rows):
        findings.note(
            path,
            named("clips listed twice, each time with some of their events", twice)
            + "; a held-out protocol leaves them out",
        )
    check_names(findings, path, events.names, classes)
    absent = set(classes) - {event.label for row in rows for event in row.events}
    if absent:
        findings.note(path, named("classes without an event", sorted(absent)))
    background = sum(float(event_labels(row.events, classes)[:, -1].sum()) for row in rows)
    findings.ok(path, f"{STEPS * len(rows)} seconds, {background:.0f} of them background")


def check_names(findings: Findings, path: Path, names: Sequence[str], classes: Sequence[str] = ()) -> None:
    """Note names that are not `<11 characters>_<start>_<end>`; they are used as they are."""
    odd = [name for name in names if not _NAME.fullmatch(name)]
    if odd:
        findings.note(path, named("malformed names, of which the first 11 characters are looked up", odd))
    if called := [name for name in names if name in classes]:
        findings.note(path, named("names that are a class", called))
