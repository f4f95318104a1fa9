"""The published AVVP (LLP) layout: events with times in each modality, one zip of features a clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from unicode_cmg.data.layouts._tables import data_folder, read_names, read_table, write_table
from unicode_cmg.data.layouts.zips import read_clips, write_clip
from unicode_cmg.errors import InputError

STEPS = 10
SPLITS = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
EVENT_COLUMNS = ("filename", "onset", "offset", "event_labels")
_ID_LENGTH = 11  # of a YouTube id; features are looked up by it, whatever follows
_CATEGORIES = "AVVP_Categories.txt"
# the class order of the cross-modal-generalization code, used where the folder has no list of its own
_CLASSES = (
    "Fire_alarm Accordion Frying_(food) Baby_laughter Speech Helicopter Banjo Chainsaw Violin_fiddle "
    "Acoustic_guitar Car Dog Baby_cry_infant_cry Cat Cheering Cello Lawn_mower Vacuum_cleaner Clapping "
    "Telephone_bell_ringing Chicken_rooster Motorcycle Singing Basketball_bounce Blender"
)


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
    """Clips with events in "audio" and in "video"; the two need not list the same clips.

    Attributes:
        feature_folders: Modality -> the folder of its zips.
        classes: The K classes.
        rows: Modality -> its clips, in file order (the published audio list has two clips twice).
        labels: Modality -> `[rows, 10, K+1]`, 1 where a class occurs; the last column, background, else.
        splits: "train", "val", "test" -> file names.
    """

    feature_folders: Mapping[str, Path]
    classes: tuple[str, ...]
    rows: Mapping[str, tuple[EventRow, ...]]
    labels: Mapping[str, Float32[np.ndarray, "rows 10 columns"]]
    splits: Mapping[str, frozenset[str]]

    def split_rows(self, modality: str, split: str) -> Int64[np.ndarray, " rows"]:
        """Rows of one modality whose clip is in a split; a few published clips are in none."""
        names = self.splits[split]
        return np.array(
            [i for i, row in enumerate(self.rows[modality]) if row.filename in names], dtype=np.int64
        )

    def features(self, modality: str, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows 10 ..."]:
        """Features of some rows, cut or padded with their last second to ten.

        Raises:
            InputError: A clip has no readable features, or their dimensions differ from the others'.
        """
        folder = self.feature_folders[modality]
        return read_clips(
            [folder / f"{self.rows[modality][i].filename[:_ID_LENGTH]}.zip" for i in rows], STEPS
        )


def read_avvp(root: str | Path) -> EventClips:
    """Open an AVVP folder: `feature/{audio,video}/zip`, and the csv files in it or in its `data/`.

    Raises:
        InputError: A file is missing, or an event has an unknown class or times outside 0..10.
    """
    root = Path(root)
    tables = data_folder(root)
    classes = read_classes(tables / _CATEGORIES, _CLASSES)
    splits = {
        split: frozenset(name for (name,) in read_table(tables / file, ("filename",)))
        for split, file in SPLITS.items()
    }
    return read_events(root, tables, "AVVP", classes, splits)


def read_classes(path: Path, default: str) -> tuple[str, ...]:
    """The list in `path` if there is one, else the published one."""
    return read_names(path) if path.is_file() else tuple(default.split())


def read_events(
    root: Path, tables: Path, prefix: str, classes: tuple[str, ...], splits: Mapping[str, frozenset[str]]
) -> EventClips:
    """The `<prefix>_eval_{audio,visual}` tables of `tables`, about the clips of the AVVP folder `root`."""
    rows, labels = {}, {}
    for modality, word in (("audio", "audio"), ("video", "visual")):
        forms = [tables / f"{prefix}_eval_{word}{form}.csv" for form in ("_checked_combined", "_checked", "")]
        path = next((form for form in forms if form.is_file()), forms[0])
        rows[modality] = _read_event_table(path, classes)
        labels[modality] = np.stack([event_labels(row.events, classes) for row in rows[modality]])
    folders = {modality: root / "feature" / modality / "zip" for modality in rows}
    return EventClips(folders, classes, rows, labels, splits)


def event_labels(events: Iterable[Event], classes: tuple[str, ...]) -> Float32[np.ndarray, "10 columns"]:
    """1 where a class occurs; the last column is 1 where none does."""
    labels = np.zeros((STEPS, len(classes) + 1), np.float32)
    for event in events:
        labels[event.onset : event.offset, classes.index(event.label)] = 1
    labels[:, -1] = ~labels.any(axis=1)
    return labels


def _read_event_table(path: Path, classes: tuple[str, ...]) -> tuple[EventRow, ...]:
    """One event a row, or aligned comma lists; consecutive rows of one clip are joined."""
    events = []
    for filename, *lists in read_table(path, EVENT_COLUMNS):
        onsets, offsets, labels = (column.split(",") for column in lists)
        where = f"{path}: {filename}"
        if not len(onsets) == len(offsets) == len(labels):
            raise InputError("onset, offset and event_labels are lists of different length", where=where)
        for onset, offset, label in zip(onsets, offsets, labels, strict=True):
            if label not in classes:
                raise InputError(f"the class '{label}'", where=where, expected=f"one of {', '.join(classes)}")
            if not (onset.isdigit() and offset.isdigit() and int(onset) <= int(offset) <= STEPS):
                raise InputError(
                    f"an event from {onset} to {offset}", where=where, expected=f"seconds in 0..{STEPS}"
                )
            events.append((filename, Event(label, int(onset), int(offset))))
    return tuple(
        EventRow(name, tuple(event for _, event in group))
        for name, group in groupby(events, key=lambda e: e[0])
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
    (tables / _CATEGORIES).write_text("\n".join(classes) + "\n", encoding="utf-8")
    for split, file in SPLITS.items():
        rows = [(name, ",".join(labels)) for name, labels in splits[split].items()]
        write_table(tables / file, ("filename", "event_labels"), rows)
    write_events(tables, "AVVP", events, separators={"": "\t", "_checked": "\t", "_checked_combined": "\t"})
    for modality, clips in features.items():
        folder = root / "feature" / modality / "zip"
        folder.mkdir(parents=True)
        for name, values in clips.items():
            write_clip(folder / f"{name[:_ID_LENGTH]}.zip", values)


def write_events(
    tables: Path, prefix: str, events: Mapping[str, Sequence[EventRow]], separators: Mapping[str, str]
) -> None:
    """Write `<prefix>_eval_{audio,visual}<form>.csv` for each form; the combined one has a clip a row."""
    for modality, word in (("audio", "audio"), ("video", "visual")):
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
            write_table(tables / f"{prefix}_eval_{word}{form}.csv", EVENT_COLUMNS, rows, separator)
