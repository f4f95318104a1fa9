"""`data check STORE`: whether a feature store is whole, and what one should know of its clips."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unicode_cmg.data.check.features import sample
from unicode_cmg.data.check.report import CheckReport, shorten
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.data.store.open_part import sha256_of
from unicode_cmg.data.store.part import DESCRIPTION, INDEX, Part, part_folders
from unicode_cmg.files import read_json

_SPLITS = ("split", "splits", "subset")
_GROUPS = ("group", "groups", "speaker", "video_id", "source")
_BYTES = 8 << 20  # of features that are looked at together


def check_store(report: CheckReport, path: Path) -> None:
    """Compare all files of a store with its descriptions, and look at its clips."""
    report.attempt(read_json, path / INDEX)
    for number, folder in tqdm(list(part_folders(path)), desc=str(path), disable=None, leave=False):
        part = report.attempt(Part.open, folder)
        if part is not None:
            _check_part(report, part, first=number == 0)
    unfinished = [entry.name for entry in path.iterdir() if entry.name.startswith(".part.")]
    report.note_names(path, "folders of writers that are at work or were killed", unfinished)
    store = report.attempt(FeatureStore.open, path)
    if store is None or not report.usable:
        return
    report.ok(path, f"{len(store)} clips in {len(store.parts)} parts, no id twice")
    _check_features(report, store)
    _check_columns(report, store)


def _check_part(report: CheckReport, part: Part, *, first: bool) -> None:
    """Files against hashes, masks against features, the table of clips against the ids."""
    files = {file.name for file in part.path.iterdir()} - {DESCRIPTION}
    noted = part.sha256
    changed = [name for name in sorted(files & set(noted)) if sha256_of(part.path / name) != noted[name]]
    for name in changed:
        report.problem(part.path / name, "the file has changed since it was written (another sha256)")
    for name in sorted(set(part.sha256) - files):
        report.problem(part.path / name, "no such file, but it was written")
    report.note_names(part.path, f"files that {DESCRIPTION} does not list", sorted(files - set(part.sha256)))
    for modality in part.modalities:
        report.attempt(part.arrays, modality)
    report.attempt(lambda: part.columns)
    if not changed and set(part.sha256) <= files:
        report.ok(part.path, f"{len(part.ids)} clips, {len(part.sha256)} files with their sha256")


def _check_features(report: CheckReport, store: FeatureStore) -> None:
    for name, shape in store.modalities.items():
        present = np.flatnonzero(store.present[name])
        where = store.feature_file(name)
        if len(present) < len(store):
            share = f"{len(present)} of {len(store)} clips have it ({100 * len(present) / len(store):.1f} %)"
            report.note(where, share)
        rows = present if report.every else present[sample(len(present))]
        constant: list[str] = []
        at_once = max(1, _BYTES // (4 * math.prod(shape)))
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            batch = report.attempt(store.batch, part, modalities=[name])
            if batch is None:
                return
            values = batch.features[name].flatten(2)
            same = (values == values[:, :1, :1]) | ~batch.masks[name].unsqueeze(2)
            constant += [store.ids[row] for row in part[same.flatten(1).all(1).numpy()]]
        if shape != (1, 1):
            report.note_names(where, "clips whose values are all the same", constant)
        read = f"{len(rows)} clips read{'' if report.every else ' as a sample'}"
        report.ok(where, f"{list(shape)} {store.dtypes[name]}, finite ({read})")


def _check_columns(report: CheckReport, store: FeatureStore) -> None:
    """Note groups that are in several splits, and unknown values."""
    columns = store.columns
    for name, values in columns.items():
        unknown = [clip for clip, value in zip(store.ids, values, strict=True) if not value]
        report.note_names(store.path, f"clips without a value of '{name}'", unknown)
    split = next((name for name in _SPLITS if name in columns), None)
    if split is None:
        return
    counts = Counter(columns[split])
    told = ", ".join(f"{name or '(unknown)'} {count}" for name, count in counts.items())
    report.ok(store.path, f"clips by split: {told}")
    for modality, there in store.present.items():
        having = {columns[split][row] for row in np.flatnonzero(there)}
        if lacking := [name for name in counts if name and name not in having]:
            report.note(store.path, f"no clip of the split {', '.join(lacking)} has {modality}")
    for group in (name for name in _GROUPS if name in columns):
        splits = defaultdict(set)
        for one, of in zip(columns[group], columns[split], strict=True):
            if one and of:
                splits[one].add(of)
        shared = [one for one, of in splits.items() if len(of) > 1]
        if shared:
            told = f"values of '{group}' in more than one split, a leak: {len(shared)} ({shorten(shared)})"
            report.note(store.path, told)
