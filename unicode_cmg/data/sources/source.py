"""What a source of features holds, whatever its form: features, values and ids of the same clips."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.store.blocks import Features
from unicode_cmg.errors import InputError, unknown

IDS = (
    *("id", "ids", "clip", "clip_id", "clip_ids", "clips", "uid", "sample_id", "utt_id", "segment_id"),
    *("video_id", "video_ids", "file_name", "filename", "name", "names", "key", "keys"),
)
"""Names that the ids of clips have, the likeliest first."""
LABELS = re.compile(r"(?i)(^|_)(labels?|targets?|class(es)?|y)$")
MASKS = re.compile(r"^(?:(?P<a>.+)[._]mask|mask[._](?P<b>.+)|(?P<all>masks?))$")
LENGTHS = re.compile(r"^(?:(?P<a>.+)[._](?:lengths?|lens?)|(?P<all>lengths?|lens?))$")
OTHERS = re.compile(r"^(?P<a>.+)[._](?P<what>tokens|words|times)$")


class Array:
    """An array of a file, whose values are read when they are asked for.

    Attributes:
        shape: Its axes.
        dtype: Type of its values.
    """

    shape: Any
    dtype: Any

    @abstractmethod
    def __getitem__(self, rows: slice) -> Any:
        """Some rows of an array that has any axes."""

    @abstractmethod
    def whole(self) -> Any:
        """All values, as an array of NumPy or a single value."""


@dataclass(frozen=True)
class Leaf:
    """An array and the names that lead to it.

    Attributes:
        keys: The names, without that of its split.
        array: The array.
        split: The name of its split; "" if none.
    """

    keys: tuple[str, ...]
    array: Array
    split: str = ""

    def without(self, at: int, *, split: str = "") -> Leaf:
        """The same without one of its names, which may be its split."""
        return Leaf((*self.keys[:at], *self.keys[at + 1 :]), self.array, split or self.split)


@dataclass
class Source:
    """The clips of a source, N of them; features stay where they are until they are read.

    Attributes:
        kind: What was recognized, such as "an npz file".
        path: Where it is.
        clips: N.
        features: Modality -> features, as `FeatureStore.write` takes them.
        masks: Modality -> `[N, T]` or `[N]`.
        times: Modality -> for each clip the seconds of its steps.
        tokens: Modality -> for each clip the words of its steps.
        columns: Name -> a value for each clip.
        ids: The ids; None if the source has none.
        ids_from: Where the ids are from.
        notes: What was guessed or left out.
        origin: What the source itself notes about the origin of its features.
    """

    kind: str
    path: Path
    clips: int
    features: dict[str, Features] = field(default_factory=dict)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    times: dict[str, Sequence[Any]] = field(default_factory=dict)
    tokens: dict[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    columns: dict[str, Sequence[Any]] = field(default_factory=dict)
    ids: Sequence[Any] | None = None
    ids_from: str = ""
    notes: list[str] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What the user has said of a source; everything else is guessed.

    Attributes:
        modalities: Modality -> its key (a name in a file, or a folder); empty: guess.
        ids: The key of the ids.
    """

    modalities: Mapping[str, str] = field(default_factory=dict)
    ids: str | None = None


def take_modalities(source: Source, found: Mapping[str, Features], wanted: Wanted) -> None:
    """Choose the modalities among what could be features.

    Raises:
        InputError: A key that the user named is not there, or there is nothing.
    """
    for name, key in wanted.modalities.items():
        if key not in found:
            raise unknown("key", key, found, where=source.path)
        source.features[name] = found[key]
    if not wanted.modalities:
        source.features.update(found)
    if not source.features:
        expected = "an array of floats for each modality, with one row for each clip"
        fix = "name them by --modality"
        raise InputError("no features found", where=source.path, expected=expected, fix=fix)


def from_keys(source: Source, arrays: Mapping[str, Any], wanted: Wanted) -> Source:
    """Sort named arrays with one row for each clip into features, masks, ids and columns by name and type.

    Args:
        source: What to fill in; its `clips` is set.
        arrays: Key -> an array of NumPy or HDF5 `[N, ...]`.
        wanted: What the user named.

    Raises:
        InputError: Arrays have different numbers of clips, or a named one is not there.
    """
    chosen = dict(wanted.modalities)
    keys = {wanted.ids} if wanted.ids else set()
    for name in (*chosen.values(), *keys):
        if name not in arrays:
            raise unknown("key", name, arrays, where=source.path)
    features = {key: arrays[key] for key in chosen.values()}
    for kinds in ("f", "iu"):  # integers, such as pixels, only where there are no floats
        features = features or {k: value for k, value in arrays.items() if is_features(k, value, kinds)}
    for key, value in features.items():
        if not value.shape:
            where = f"{source.path}: '{key}'"
            raise InputError("no array, but a single value", where=where, expected="a row for each clip")
    counts = {key: value.shape[0] for key, value in features.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise InputError(
            f"arrays have different numbers of clips: {told}",
            where=source.path,
            fix="name those that belong together, such as --modality audio=KEY",
        )
    source.clips = next(iter(counts.values()), 0)
    take_modalities(source, features, wanted)
    name_of = {chosen[name]: name for name in chosen} or {key: key for key in features}
    for key, value in arrays.items():
        if key not in features:
            _place(source, key, value, name_of, wanted)
    return source


def is_features(key: str, value: Any, kinds: str = "f") -> bool:
    """Whether an array could be features `[clips, ...]`, by its name, type and axes."""
    special = any(pattern.match(key) for pattern in (MASKS, LENGTHS, OTHERS)) or LABELS.search(key)
    return len(value.shape) >= 2 and value.dtype.kind in kinds and not special


def _place(source: Source, key: str, value: Any, name_of: Mapping[str, str], wanted: Wanted) -> None:
    """Find the use of an array that is no features."""
    shape = tuple(value.shape)
    if not shape or shape[0] != source.clips:
        source.notes.append(f"'{key}' {list(shape)} is not imported: it has not one row for each clip")
        return
    if key == wanted.ids or (wanted.ids is None and source.ids is None and key.lower() in IDS):
        source.ids, source.ids_from = texts(value[:]), f"'{key}'"
        return
    for pattern, use in ((MASKS, _mask), (LENGTHS, _lengths)):
        match = pattern.match(key)
        if match and use(source, value, _targets(match, name_of)):
            return
    match = OTHERS.match(key)
    if match and match["a"] in name_of and match["what"] == "times":
        source.times[name_of[match["a"]]] = value
    elif len(shape) == 1:
        source.columns[key] = texts(value[:])
    elif len(shape) == 2 and LABELS.search(key) and _is_multi_hot(np.asarray(value[:])):
        rows = np.asarray(value[:]) > 0
        source.columns[key] = [np.flatnonzero(row).tolist() for row in rows]
        source.notes.append(f"column '{key}' holds the numbers of the columns that are 1")
    else:
        source.notes.append(f"'{key}' {list(shape)} {value.dtype} is not imported")


def _targets(match: re.Match[str], name_of: Mapping[str, str]) -> list[str]:
    groups = match.groupdict()
    if groups["all"]:
        return list(name_of.values())
    key = groups["a"] or groups.get("b") or ""
    return [name_of[key]] if key in name_of else []


def _mask(source: Source, value: Any, names: list[str]) -> bool:
    mask = np.asarray(value[:])
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        return False
    fitting = [m for m in names if mask.shape in ((source.clips,), _steps(source.features[m]))]
    source.masks.update(dict.fromkeys(fitting, mask.astype(bool)))
    return bool(fitting)


def _lengths(source: Source, value: Any, names: list[str]) -> bool:
    lengths = np.asarray(value[:])
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        return False
    for name in names:
        clips, steps = _steps(source.features[name])
        if clips and lengths.max(initial=0) <= steps:
            source.masks[name] = np.arange(steps) < lengths[:, None]
    return bool(names)


def _steps(values: Any) -> tuple[int, int]:
    shape = getattr(values, "shape", ())
    return (shape[0], shape[1] if len(shape) > 2 else 1) if shape else (0, 0)


def _is_multi_hot(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "biuf" and bool(np.isin(values, (0, 1)).all())


def texts(values: Any) -> list[Any]:
    """Values of one column as Python's, bytes as text."""
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in listed]


class LazyClips(Sequence[Any]):
    """One array `[T, ...]` or None for each clip, read when it is asked for."""

    def __init__(self, clips: int) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return self._clips

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return self.read(range(*row.indices(self._clips)))
        if not -self._clips <= row < self._clips:
            raise IndexError(row)
        return self.read(range(row % self._clips, row % self._clips + 1))[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[row] for row in range(self._clips))

    @abstractmethod
    def read(self, rows: range) -> list[Any]:
        """The clips of some rows, in their order."""


class Chain:
    """Arrays of several splits one after the other."""

    def __init__(self, parts: Sequence[Any], where: str) -> None:
        tails = {tuple(part.shape[1:]) for part in parts}
        if len(tails) > 1:
            told = " and ".join(str(list(tail)) for tail in sorted(tails))
            raise InputError(f"splits differ: {told} for a clip", where=where, expected="the same axes")
        self._parts = parts
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)]).tolist()
        self.shape, self.dtype = (self._starts[-1], *tails.pop()), parts[0].dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(len(self))
        pieces = [
            part[max(start - first, 0) : stop - first]
            for part, first, end in zip(self._parts, self._starts, self._starts[1:], strict=False)
            if first < stop and end > start
        ]
        return np.concatenate(pieces) if pieces else np.asarray(self._parts[0][:0])
