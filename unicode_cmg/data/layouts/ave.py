"""The published AVE layout: HDF5 features and labels, row orders of the splits, and `Annotations.txt`.

`text_feature.h5` and `text_mask.h5` are our extension of it, for data that has prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from unicode_cmg.data.layouts.arrays import (
    array_shape,
    check_finite,
    read_array,
    read_mask,
    read_rows,
    write_array,
)
from unicode_cmg.data.layouts.tables import data_folder, whole_seconds
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import read_text

KEY, ORDER_KEY = "avadataset", "order"
SPLITS = ("train", "val", "test")
ANNOTATIONS = "Annotations.txt"
FEATURES = {"video": "visual_feature.h5", "audio": "audio_feature.h5", "text": "text_feature.h5"}
TEXT_MASK = "text_mask.h5"
LABELS = ("labels.h5", "right_labels.h5", "right_label.h5")  # the last two are names of PSP and CPSP
_HEADER = "Category&VideoID&"


class Annotation(NamedTuple):
    """One line of `Annotations.txt`: seconds `start` to `end`, `end` exclusive."""

    category: str
    video_id: str
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class AVEData:
    """An AVE folder; features stay on disk until they are read.

    Attributes:
        folder: Where the files are.
        classes: The K foreground classes, in order of first appearance in `Annotations.txt`.
        annotations: One for each of the N rows.
        order: "train", "val", "test" -> row numbers.
        labels: `[N, T, K+1]`, one-hot in each second, background last.
        modalities: Name -> `(T, ...)`, the shape of one clip.
    """

    folder: Path
    classes: tuple[str, ...]
    annotations: tuple[Annotation, ...]
    order: Mapping[str, Int64[np.ndarray, " rows"]]
    labels: Float32[np.ndarray, "clips time columns"]
    modalities: Mapping[str, tuple[int, ...]]
    _text_mask: Bool[np.ndarray, "clips time"] | None = None

    @property
    def video_ids(self) -> tuple[str, ...]:
        """YouTube id of each row; some ids have several rows."""
        return tuple(annotation.video_id for annotation in self.annotations)

    def features(self, modality: str, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows time ..."]:
        """Features of some rows.

        Raises:
            InputError: There is no such modality or row, or a value is not finite.
        """
        self._require(modality)
        path = self.folder / FEATURES[modality]
        values = read_rows(path, KEY, rows)
        check_finite(
            values, where=path, name=lambda i: f"clip '{self.annotations[rows[i]].video_id}' (row {rows[i]})"
        )
        return values

    def mask(self, modality: str, rows: NDArray[np.int64]) -> Bool[np.ndarray, "rows time"]:
        """True where a step is valid: everywhere, but for text shorter than T.

        Raises:
            InputError: There is no such modality.
        """
        self._require(modality)
        if modality == "text" and self._text_mask is not None:
            return self._text_mask[rows]
        return np.ones((len(rows), self.modalities[modality][0]), dtype=bool)

    def _require(self, modality: str) -> None:
        if modality not in self.modalities:
            raise unknown("modality", modality, self.modalities, where=self.folder)

    def segment_labels(self, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows time columns"]:
        """One-hot labels of each second, background in the last column."""
        return self.labels[rows]

    def clip_labels(self, rows: NDArray[np.int64]) -> Int64[np.ndarray, " rows"]:
        """Class of each clip, read as published: the foreground argmax of each second, then the largest."""
        best: NDArray[np.int64] = self.labels[rows, :, :-1].argmax(-1)
        return np.asarray(best.max(-1))

    def shared_rows(self) -> Int64[np.ndarray, " shared"]:
        """Rows whose video occurs in more than one split; a held-out protocol drops them."""
        splits: dict[str, set[str]] = {}
        for split, rows in self.order.items():
            for row in rows:
                splits.setdefault(self.annotations[row].video_id, set()).add(split)
        shared = [i for i, a in enumerate(self.annotations) if len(splits.get(a.video_id, ())) > 1]
        return np.array(shared, dtype=np.int64)


def read_ave(root: str | Path) -> AVEData:
    """Open an AVE folder, or the folder that contains it as `data/`.

    Raises:
        InputError: A file is missing, truncated, or does not fit the others; a label is not one-hot or not of
            the annotated class; an order contains a row that does not exist.
    """
    folder = data_folder(Path(root))
    label_file = labels_file(folder)
    labels = read_array(label_file, KEY, (None, None, None)).astype(np.float32)
    clips, steps = labels.shape[:2]
    path = folder / ANNOTATIONS
    annotations = tuple(
        parse_annotation(line, steps, where=f"{path}, annotation {number}")
        for number, line in enumerate(annotation_lines(path)[0], 1)
    )
    if len(annotations) != clips:
        expected = f"{clips}, one for each row of the labels"
        raise InputError(f"{len(annotations)} annotations", where=path, expected=expected)
    classes = tuple(dict.fromkeys(a.category for a in annotations))
    if labels.shape[2] != len(classes) + 1:
        expected = f"{len(classes) + 1}: the classes of {ANNOTATIONS} and background"
        raise InputError(f"{labels.shape[2]} label columns", where=label_file, expected=expected)
    if errors := label_errors(labels, classes, annotations):
        expected = f"one-hot rows, with the class of the same line of {ANNOTATIONS}"
        raise InputError(next(iter(errors.values())), where=label_file, expected=expected)
    modalities = {}
    for name, file in FEATURES.items():
        if name == "text" and not (folder / file).is_file():
            continue
        modalities[name] = array_shape(folder / file, KEY, (clips, steps, ...))[1:]
    mask = read_mask(folder / TEXT_MASK, KEY, (clips, steps), unit="clip") if "text" in modalities else None
    order = {split: read_order(folder / f"{split}_order.h5", clips) for split in SPLITS}
    return AVEData(folder, classes, annotations, order, labels, modalities, mask)


def labels_file(folder: Path) -> Path:
    """The supervised labels, by any of their names, or where they should be."""
    return next((folder / name for name in LABELS if (folder / name).is_file()), folder / LABELS[0])


def annotation_lines(path: Path) -> tuple[list[str], bool]:
    """The lines of the clips, and whether the file begins with the header line of later copies.

    Raises:
        InputError: The file is missing or empty.
    """
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    header = lines[0].startswith(_HEADER)
    return lines[header:], header


def parse_annotation(line: str, steps: int, *, where: object) -> Annotation:
    """One line, `category&video id&quality&start&end`.

    Raises:
        InputError: It has another form, or its seconds are not in 0..`steps`.
    """
    parts = [part.strip() for part in line.split("&")]
    start, end = (whole_seconds(parts[at]) if len(parts) == 5 else None for at in (3, 4))
    if not (len(parts) == 5 and parts[0] and parts[1]) or start is None or end is None:
        raise InputError(f"the line '{line}'", where=where, expected="category&video id&quality&start&end")
    if not start <= end <= steps:
        raise InputError(
            f"an event from {start} to {end} in '{parts[1]}'", where=where, expected=f"seconds in 0..{steps}"
        )
    return Annotation(parts[0], parts[1], start, end)


def write_ave(
    root: Path,
    features: Mapping[str, NDArray[np.floating]],
    labels: Float32[np.ndarray, "clips time columns"],
    order: Mapping[str, NDArray[np.int64]],
    annotations: Sequence[Annotation],
    text_mask: Bool[np.ndarray, "clips time"] | None = None,
) -> None:
    """Write `root/data` in the published layout; `features` by the names that `AVEData.modalities` has."""
    folder = root / "data"
    folder.mkdir(parents=True)
    for name, values in features.items():
        write_array(folder / FEATURES[name], KEY, values)
    if text_mask is not None:
        write_array(folder / TEXT_MASK, KEY, text_mask)
    write_array(folder / LABELS[0], KEY, labels)
    for split, rows in order.items():
        write_array(folder / f"{split}_order.h5", ORDER_KEY, rows.astype(np.int64))
    lines = [f"{a.category}&{a.video_id}&good&{a.start}&{a.end}\n" for a in annotations]
    (folder / ANNOTATIONS).write_text("".join(lines), encoding="utf-8")


def read_order(path: Path, clips: int) -> Int64[np.ndarray, " rows"]:
    """A list of distinct row numbers below `clips`, whole numbers of any type."""
    rows = read_array(path, ORDER_KEY, (None,))
    if rows.dtype.kind == "f" and (rows == np.floor(rows)).all():
        rows = rows.astype(np.int64)
    if rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= clips:
        what = f"row numbers from {rows.min()} to {rows.max()}"
        raise InputError(what, where=path, expected=f"whole numbers in 0..{clips - 1}")
    if len(np.unique(rows)) != len(rows):
        raise InputError("a row number occurs twice", where=path)
    return rows.astype(np.int64)


def label_errors(
    labels: NDArray[Any], classes: Sequence[str], annotations: Sequence[Annotation | None]
) -> dict[int, str]:
    """Row -> what is wrong with its labels `[T, K+1]`.

    Args:
        labels: `[N, T, K+1]`.
        classes: The K classes.
        annotations: One for each of the N rows, None where it is not known.
    """
    names = ["" if annotation is None else annotation.category for annotation in annotations]
    columns = np.array([classes.index(name) if name else -1 for name in names])
    one_hot = (((labels == 0) | (labels == 1)).all(-1) & (labels.sum(-1) == 1)).all(1)
    others = labels[..., :-1].any(1) & (np.arange(labels.shape[2] - 1) != columns[:, None])
    wrong = one_hot & (columns >= 0) & others.any(1)
    errors = {int(row): f"row {row} is not one-hot in each second" for row in np.flatnonzero(~one_hot)}
    return errors | {int(row): f"row {row} is not labelled '{names[row]}'" for row in np.flatnonzero(wrong)}
