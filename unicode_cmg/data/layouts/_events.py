"""Events with times, as the AVVP and AVE->AVVP tables list them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from unicode_cmg.data.layouts._tables import read_table, write_table
from unicode_cmg.errors import InputError

STEPS = 10
EVENT_COLUMNS = ("filename", "onset", "offset", "event_labels")
FORMS = ("_checked_combined", "_checked", "")  # the one to read first; "" is the data set's own
WORDS = {"audio": "audio", "video": "visual"}  # modality -> how file names call it


class Event(NamedTuple):
    """Something heard or seen from second `onset` to `offset`, `offset` exclusive."""

    label: str
    onset: int
    offset: int


class EventRow(NamedTuple):
    """A clip and its events in one modality."""

    filename: str
    events: tuple[Event, ...]


def event_labels(events: Iterable[Event], classes: tuple[str, ...]) -> Float32[np.ndarray, "10 columns"]:
    """1 where a class occurs; the last column is 1 where none does."""
    labels = np.zeros((STEPS, len(classes) + 1), np.float32)
    for event in events:
        labels[event.onset : event.offset, classes.index(event.label)] = 1
    labels[:, -1] = ~labels.any(axis=1)
    return labels


def event_table(tables: Path, prefix: str, modality: str, form: str) -> Path:
    """The file of one form of the events of a modality."""
    return tables / f"{prefix}_eval_{WORDS[modality]}{form}.csv"


def read_event_table(path: Path, classes: tuple[str, ...]) -> tuple[EventRow, ...]:
    """One event a row, or aligned comma lists; consecutive rows of one clip are joined.

    Raises:
        InputError: The table is missing or damaged, or an event has an unknown class or times outside 0..10.
    """
    lines = read_table(path, EVENT_COLUMNS)
    return join_rows([EventRow(line[0], parse_events(line, classes, where=path)) for line in lines])


def parse_events(line: Sequence[str], classes: tuple[str, ...], *, where: object) -> tuple[Event, ...]:
    """The events of one line; some published ones begin and end at the same second, and are none.

    Raises:
        InputError: The lists differ in length, or an event has an unknown class or times outside 0..10.
    """
    filename, *lists = line
    where = f"{where}: {filename}"
    onsets, offsets, labels = ([part.strip() for part in column.split(",")] for column in lists)
    if not len(onsets) == len(offsets) == len(labels):
        raise InputError("onset, offset and event_labels are lists of different length", where=where)
    for onset, offset, label in zip(onsets, offsets, labels, strict=True):
        if label not in classes:
            raise InputError(f"the class '{label}'", where=where, expected=f"one of {', '.join(classes)}")
        if not (onset.isdecimal() and offset.isdecimal() and int(onset) <= int(offset) <= STEPS):
            raise InputError(
                f"an event from {onset} to {offset}", where=where, expected=f"seconds in 0..{STEPS}"
            )
    return tuple(
        Event(label, int(onset), int(offset))
        for onset, offset, label in zip(onsets, offsets, labels, strict=True)
    )


def join_rows(rows: Iterable[EventRow]) -> tuple[EventRow, ...]:
    """Consecutive rows of one clip become one, as the published combined tables were made."""
    return tuple(
        EventRow(name, tuple(event for row in group for event in row.events))
        for name, group in groupby(rows, key=lambda row: row.filename)
    )


def write_events(
    tables: Path, prefix: str, events: Mapping[str, Sequence[EventRow]], separators: Mapping[str, str]
) -> None:
    """Write `<prefix>_eval_{audio,visual}<form>.csv` for each form; the combined one has a clip a row."""
    for modality in WORDS:
        for form, separator in separators.items():
            if form.endswith("_combined"):
                rows = [
                    (
                        row.filename,
                        ",".join(str(event.onset) for event in row.events),
                        ",".join(str(event.offset) for event in row.events),
                        ",".join(event.label for event in row.events),
                    )
                    for row in events[modality]
                ]
            else:
                rows = [
                    (row.filename, str(e.onset), str(e.offset), e.label)
                    for row in events[modality]
                    for e in row.events
                ]
            write_table(event_table(tables, prefix, modality, form), EVENT_COLUMNS, rows, separator)
