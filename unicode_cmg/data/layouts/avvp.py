"""The published AVVP (LLP) layout: tables of events with times for each modality, and one zip a clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from unicode_cmg.data.categories import avvp_classes
from unicode_cmg.data.layouts.tables import data_folder, read_names, read_table, whole_seconds, write_table
from unicode_cmg.data.layouts.zips import STEPS, clip_zip, read_clips, write_clips, zip_folder
from unicode_cmg.errors import InputError, unknown

SPLITS = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
CATEGORIES = "AVVP_Categories.txt"
EVENT_COLUMNS = ("filename", "onset", "offset", "event_labels")
FORMS = ("_checked_combined", "_checked", "")  # the one to read first; "" is the data set's own
WORDS = {"audio": "audio", "video": "visual"}  # modality -> its name in file names
_ID_LENGTH = 11  # of a YouTube id; features are looked up by it, whatever follows


class Event(NamedTuple):
    """Something heard or seen from second `onset` to `offset`, `offset` exclusive."""

    label: str
    onset: int
    offset: int


class EventRow(NamedTuple):
    """A clip and its events in one modality."""

    filename: str
    events: tuple[Event, ...]


@dataclass(frozen=True, eq=False)
class EventClips:
    """Clips with events in "audio" and in "video"; the two modalities need not list the same clips.

    Attributes:
        feature_folders: Modality -> the folder of its zips.
        classes: The K classes.
        rows: Modality -> its clips, in file order (the published audio list has two clips twice).
        labels: Modality -> `[rows, 10, K+1]`, 1 where a class occurs; the last column, background, else.
        splits: "train", "val", "test" -> file names; a few published clips are in none.
    """

    feature_folders: Mapping[str, Path]
    classes: tuple[str, ...]
    rows: Mapping[str, tuple[EventRow, ...]]
    labels: Mapping[str, Float32[np.ndarray, "rows 10 columns"]]
    splits: Mapping[str, frozenset[str]]

    def features(self, modality: str, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows 10 ..."]:
        """Features of some rows, cut to ten seconds or padded with copies of their last second.

        Raises:
            InputError: A clip has no readable features, or their dimensions differ from the others'.
        """
        folder = self.feature_folders[modality]
        return read_clips([clip_zip(folder, clip_id(self.rows[modality][i].filename)) for i in rows])


def clip_id(filename: str) -> str:
    """The YouTube id, by which features are looked up; it is not parsed, as a few names are malformed."""
    return filename[:_ID_LENGTH]


def read_avvp(root: str | Path) -> EventClips:
    """Open an AVVP folder: `feature/{audio,video}/zip`, and the csv files in it or in its `data/`.

    Raises:
        InputError: A file is missing, or an event has an unknown class or times outside 0..10.
    """
    root = Path(root)
    tables = data_folder(root)
    classes = read_classes(tables / CATEGORIES, avvp_classes())
    return read_events(root, tables, "AVVP", classes, read_splits(tables))


def read_classes(path: Path, default: tuple[str, ...]) -> tuple[str, ...]:
    """The list in `path` if there is one, else the published list; any order of the classes is valid."""
    return read_names(path) if path.is_file() else default


def read_splits(tables: Path) -> dict[str, frozenset[str]]:
    """The file names of each split.

    Raises:
        InputError: A list is missing or damaged.
    """
    return {
        split: frozenset(name for (name,) in read_table(tables / file, ("filename",)))
        for split, file in SPLITS.items()
    }


def read_events(
    root: Path, tables: Path, prefix: str, classes: tuple[str, ...], splits: Mapping[str, frozenset[str]]
) -> EventClips:
    """The `<prefix>_eval_{audio,visual}` tables of `tables`, about the clips of the AVVP folder `root`.

    One event a row, or aligned comma lists; consecutive rows of one clip are joined.

    Raises:
        InputError: A table is missing or damaged, or an event has an unknown class or times outside 0..10.
    """
    rows, labels = {}, {}
    for modality in WORDS:
        forms = [event_table(tables, prefix, modality, form) for form in FORMS]
        path = next((form for form in forms if form.is_file()), forms[0])
        lines = read_table(path, EVENT_COLUMNS)
        rows[modality] = join_rows(
            EventRow(line[0], parse_events(line, classes, where=path)) for line in lines
        )
        labels[modality] = np.stack([event_labels(row.events, classes) for row in rows[modality]])
    folders = {modality: zip_folder(root, modality) for modality in rows}
    return EventClips(folders, classes, rows, labels, splits)


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


def parse_events(line: Sequence[str], classes: tuple[str, ...], *, where: object) -> tuple[Event, ...]:
    """The events of one line.

    An event that ends when it begins, or before, has no effect: the published audio table has six of zero
    length and one from 9 to 0.

    Raises:
        InputError: The lists differ in length, or an event has an unknown class or times outside 0..10.
    """
    filename, *lists = line
    where = f"{where}: {filename}"
    onsets, offsets, labels = ([part.strip() for part in column.split(",")] for column in lists)
    if not len(onsets) == len(offsets) == len(labels):
        raise InputError("onset, offset and event_labels are lists of different length", where=where)
    events = []
    for onset, offset, label in zip(onsets, offsets, labels, strict=True):
        if label not in classes:
            raise unknown("class", label, classes, where=where)
        start, end = whole_seconds(onset), whole_seconds(offset)
        if start is None or end is None or max(start, end) > STEPS:
            what = f"an event from {onset} to {offset}"
            raise InputError(what, where=where, expected=f"whole seconds in 0..{STEPS}")
        events.append(Event(label, start, end))
    return tuple(events)


def join_rows(rows: Iterable[EventRow]) -> tuple[EventRow, ...]:
    """Consecutive rows of one clip become one, as the published combined tables were made."""
    return tuple(
        EventRow(name, tuple(event for row in group for event in row.events))
        for name, group in groupby(rows, key=lambda row: row.filename)
    )


def write_avvp(
    root: Path,
    features: Mapping[str, Mapping[str, NDArray[np.floating]]],
    classes: Sequence[str],
    events: Mapping[str, Sequence[EventRow]],
    splits: Mapping[str, Mapping[str, Sequence[str]]],
) -> None:
    """Write an AVVP folder.

    Args:
        root: The folder to make.
        features: Modality -> file name -> `[T, ...]`.
        classes: In the order of the label columns.
        events: Modality -> the clips that have events in it.
        splits: "train", "val", "test" -> file name -> classes that occur.
    """
    tables = root / "data"
    tables.mkdir(parents=True)
    (tables / CATEGORIES).write_text("\n".join(classes) + "\n", encoding="utf-8")
    for split, file in SPLITS.items():
        rows = [(name, ",".join(labels)) for name, labels in splits[split].items()]
        write_table(tables / file, ("filename", "event_labels"), rows, "\t")
    write_events(tables, "AVVP", events, separators={"": "\t", "_checked": "\t", "_checked_combined": "\t"})
    for modality, clips in features.items():
        write_clips(zip_folder(root, modality), {clip_id(name): values for name, values in clips.items()})


def write_events(
    tables: Path, prefix: str, events: Mapping[str, Sequence[EventRow]], separators: Mapping[str, str]
) -> None:
    """Write `<prefix>_eval_{audio,visual}<form>.csv` for each form; the combined one has a clip a row."""
    for modality in WORDS:
        for form, separator in separators.items():
            if form.endswith("_combined"):
                lines = [(row.filename, row.events) for row in events[modality]]
            else:
                lines = [(row.filename, (event,)) for row in events[modality] for event in row.events]
            columns = ("onset", "offset", "label")
            rows = [
                (name, *(",".join(str(getattr(event, column)) for event in part) for column in columns))
                for name, part in lines
            ]
            write_table(event_table(tables, prefix, modality, form), EVENT_COLUMNS, rows, separator)
