"""The published AVVP (LLP) layout: events with times in each modality, one zip of features a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from unicode_cmg.data.categories import avvp_classes
from unicode_cmg.data.layouts._events import (
    FORMS,
    STEPS,
    WORDS,
    Event,
    EventRow,
    event_labels,
    event_table,
    read_event_table,
    write_events,
)
from unicode_cmg.data.layouts._tables import data_folder, read_names, read_table, write_table
from unicode_cmg.data.layouts.zips import read_clips, write_clip

__all__ = ["STEPS", "Event", "EventClips", "EventRow", "event_labels", "read_avvp", "write_avvp"]

SPLITS = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
_ID_LENGTH = 11  # of a YouTube id; features are looked up by it, whatever follows
CATEGORIES = "AVVP_Categories.txt"


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
        return read_clips([folder / f"{clip_id(self.rows[modality][i].filename)}.zip" for i in rows], STEPS)


def clip_id(filename: str) -> str:
    """By which features are looked up: the YouTube id, which is not parsed, as a few names are malformed."""
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
    """The list in `path` if there is one, else the published one; either order of AVVP's classes will do."""
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
    """The `<prefix>_eval_{audio,visual}` tables of `tables`, about the clips of the AVVP folder `root`."""
    rows, labels = {}, {}
    for modality in WORDS:
        forms = [event_table(tables, prefix, modality, form) for form in FORMS]
        path = next((form for form in forms if form.is_file()), forms[0])
        rows[modality] = read_event_table(path, classes)
        labels[modality] = np.stack([event_labels(row.events, classes) for row in rows[modality]])
    folders = {modality: root / "feature" / modality / "zip" for modality in rows}
    return EventClips(folders, classes, rows, labels, splits)


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
        write_table(tables / file, ("filename", "event_labels"), rows)
    write_events(tables, "AVVP", events, separators={"": "\t", "_checked": "\t", "_checked_combined": "\t"})
    for modality, clips in features.items():
        folder = root / "feature" / modality / "zip"
        folder.mkdir(parents=True)
        for name, values in clips.items():
            write_clip(folder / f"{clip_id(name)}.zip", values)
