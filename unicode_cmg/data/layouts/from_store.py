"""The features of a store in the layouts of published data sets, for the tasks that read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.layouts.arrays import write_array
from unicode_cmg.data.layouts.ave import (
    ANNOTATIONS,
    FEATURES,
    KEY,
    LABELS,
    ORDER_KEY,
    SPLITS,
    TEXT_MASK,
    Annotation,
    annotation_lines,
    labels_file,
    parse_annotation,
)
from unicode_cmg.data.layouts.tables import data_folder
from unicode_cmg.data.layouts.zips import STEPS, clip_zip, write_clip
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError, one_of
from unicode_cmg.files import atomic_file, disk_errors

_BOTH = {"audio": "feature/audio/zip", "video": "feature/video/zip"}
ZIPS: Mapping[str, Mapping[str, str]] = {
    "avvp": _BOTH,
    "clotho": {"audio": "feature/zip"},
    "mscoco": {"image": "feature/zip"},
    "ucf101": {"video": "feature/video/zip"},
    "vggsound-avel": _BOTH,
}
"""Data set -> modality -> the folder of its zips."""
LAYOUTS = ("ave", *ZIPS)
_BATCH = 64


def write_published(store: FeatureStore | str | Path, to: str | Path, layout: str) -> dict[str, Any]:
    """Write features into the folder of a published data set, beside its lists.

    Zips are named by the ids of the clips, and hold the valid steps. Captions of `clotho` and `mscoco` become
    `text_feature.h5` and `text_mask.h5`, a row for each clip that has text. `ave` has arrays with a row for
    each line of `Annotations.txt`, found by the column `video_id`; where labels and orders of the splits are
    missing, they are made from `Annotations.txt`, `trainSet.txt`, `valSet.txt` and `testSet.txt`.

    Args:
        store: The store, or its folder.
        to: The folder of the data set, such as `data/AVVP`.
        layout: One of `LAYOUTS`.

    Returns:
        What was written: file or folder -> number of clips.

    Raises:
        InputError: The store lacks every modality of the layout, or clips of AVE; or the folder cannot be
            written.
    """
    one_of("--layout", LAYOUTS, layout=layout)
    store, to = store if isinstance(store, FeatureStore) else FeatureStore.open(store), Path(to)
    folders = {m: file for m, file in FEATURES.items() if m != "text"} if layout == "ave" else ZIPS[layout]
    if not set(folders) & set(store.modalities):
        expected = f"modalities named {' or '.join(folders)}"
        raise InputError(f"it has {', '.join(store.modalities)}", where=store.path, expected=expected)
    with disk_errors(to):
        to.mkdir(parents=True, exist_ok=True)
        if layout == "ave":
            return _write_ave(store, data_folder(to))
        written = {}
        for modality, folder in folders.items():
            if modality in store.modalities:
                written[folder] = _write_zips(store, modality, to / folder)
        if layout in ("clotho", "mscoco") and "text" in store.modalities:
            written[FEATURES["text"]] = _write_words(store, to)
    return written


def _clips(
    store: FeatureStore, modality: str, rows: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The valid steps `[T, ...]` of the clips of some rows, in their order."""
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        batch = store.batch(chosen, modalities=[modality])
        for row, values, mask in zip(chosen, batch.features[modality], batch.masks[modality], strict=True):
            yield row, values[mask].numpy()


def _write_zips(store: FeatureStore, modality: str, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.flatnonzero(store.present[modality]).tolist()
    for row, values in _clips(store, modality, rows):
        target = clip_zip(folder, store.ids[row])
        scratch = target.with_name(f".{target.name}")
        write_clip(scratch, values)
        scratch.replace(target)
    return len(rows)


def _write_words(store: FeatureStore, folder: Path) -> int:
    """The rows of all captions, in the order of the store, which is that of the list."""
    lengths = store.valid_steps("text")
    rows = np.flatnonzero(lengths).tolist()
    captions = [row for row, caption in enumerate(store.columns.get("caption", ())) if caption]
    if captions and captions != rows:
        what = f"{len(set(captions) - set(rows))} captions have no features"
        raise InputError(what, where=store.path, fix="see broken.csv in the store")
    mask = np.arange(store.modalities["text"][0]) < lengths[rows][:, None]
    with atomic_file(folder / FEATURES["text"]) as file:
        _write_rows(file, _clips(store, "text", rows), (len(rows), *store.modalities["text"]))
    with atomic_file(folder / TEXT_MASK) as file:
        write_array(file, KEY, mask)
    return len(rows)


def _write_rows(file: Path, clips: Iterator[tuple[int, NDArray[np.float32]]], shape: tuple[int, ...]) -> None:
    """One array, written a clip at a time, zeros after the end of each."""
    with h5py.File(file, "w", locking=False) as opened:
        array = opened.create_dataset(KEY, shape, np.float32, track_times=False)
        for place, (_, values) in enumerate(clips):
            array[place, : len(values)] = values


def _write_ave(store: FeatureStore, folder: Path) -> dict[str, Any]:
    path = folder / ANNOTATIONS
    lines = [line.strip() for line in annotation_lines(path)[0]]
    found = [parse_annotation(line, STEPS, where=path) for line in lines]
    named = store.columns.get("video_id", store.ids)
    written: dict[str, Any] = {}
    for modality, file in FEATURES.items():
        if modality not in ("audio", "video") or modality not in store.modalities:
            continue
        places = {named[row]: row for row in np.flatnonzero(store.present[modality]).tolist()}
        missing = [a.video_id for a in found if a.video_id not in places]
        if missing:
            raise InputError(
                f"{modality} of {len(missing)} of {len(found)} clips is missing, such as '{missing[0]}'",
                where=store.path,
                fix="see broken.csv in the store",
            )
        rows = [places[annotation.video_id] for annotation in found]
        padded = ((row, _of_ten(values)) for row, values in _clips(store, modality, rows))
        with atomic_file(folder / file) as scratch:
            _write_rows(scratch, padded, (len(rows), STEPS, *store.modalities[modality][1:]))
        written[file] = len(rows)
    if not labels_file(folder).is_file():
        with atomic_file(folder / LABELS[0]) as scratch:
            write_array(scratch, KEY, _labels(found))
        written[LABELS[0]] = len(found)
    for split in SPLITS:
        target, listed = folder / f"{split}_order.h5", folder / f"{split}Set.txt"
        if not target.is_file() and listed.is_file():
            with atomic_file(target) as scratch:
                write_array(scratch, ORDER_KEY, _order(lines, annotation_lines(listed)[0], listed))
            written[target.name] = len(found)
    return written


def _of_ten(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut to ten steps, or padded with copies of the last one, as published."""
    return values[np.minimum(np.arange(STEPS), len(values) - 1)]


def _labels(annotations: Sequence[Annotation]) -> NDArray[np.float32]:
    """`[N, 10, K+1]`, one-hot in each second, background last."""
    classes = list(dict.fromkeys(a.category for a in annotations))
    labels = np.zeros((len(annotations), STEPS, len(classes) + 1), np.float32)
    labels[..., -1] = 1
    for row, annotation in zip(labels, annotations, strict=True):
        row[annotation.start : annotation.end] = 0
        row[annotation.start : annotation.end, classes.index(annotation.category)] = 1
    return labels


def _order(lines: Sequence[str], wanted: Sequence[str], where: Path) -> NDArray[np.int64]:
    """The rows of the lines of a split."""
    rows = {line: row for row, line in enumerate(lines)}
    unknown = [line for line in wanted if line.strip() not in rows]
    if unknown:
        raise InputError(f"the line '{unknown[0]}'", where=where, expected=f"a line of {ANNOTATIONS}")
    return np.array([rows[line.strip()] for line in wanted], np.int64)
