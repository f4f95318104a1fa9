"""An array for each clip and modality, wherever the names of both stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.data.sources.names import MOST_MODALITIES, matched
from unicode_cmg.data.sources.pickles import Unread
from unicode_cmg.data.sources.source import (
    IDS,
    LABELS,
    LENGTHS,
    MASKS,
    OTHERS,
    Array,
    LazyClips,
    Leaf,
    Source,
    texts,
)
from unicode_cmg.errors import InputError

FOLDER = "folder"
"""The column of the folder of each clip."""


def clip_arrays(path: Path, leaves: Sequence[Leaf], named: Sequence[str], name: str) -> Source:
    """The arrays of clips as a source.

    Args:
        path: Where they are from.
        leaves: An array of a clip each, with equally many names.
        named: The modalities that the user named; empty: guess.
        name: Of the modality, if no name says it.

    Raises:
        InputError: Two arrays are of the same clip and modality, or none is features.
    """
    clip, modality = _levels(leaves, named)
    found: dict[str, dict[tuple[str, str, str], Leaf]] = {}
    for leaf in leaves:
        rest = "/".join(key for at, key in enumerate(leaf.keys) if at not in (clip, modality))
        kind = name if modality is None else leaf.keys[modality]
        found.setdefault(kind, {})[leaf.split, rest, leaf.keys[clip]] = leaf
    places = list(dict.fromkeys(place for members in found.values() for place in members))
    ids = _ids(places)
    arrays = {kind: {ids[p]: leaf.array for p, leaf in members.items()} for kind, members in found.items()}
    source = Source(
        "", path, 0, ids_from="the names of the files" if path.is_dir() else "the names in the file"
    )
    features, others = _sorted(arrays, named, source)
    columns = {"split": {ids[p]: p[0] for p in places}, FOLDER: {ids[p]: p[1] for p in places}}
    cut = matched({kind: list(members) for kind, members in features.items()})
    if cut is not None:
        renamed, told = cut
        source.notes.append(f"the modalities name clips in different ways: {told}")
        features = {m: {renamed[m][clip]: a for clip, a in of.items()} for m, of in features.items()}
        new = {clip: to for names in renamed.values() for clip, to in names.items()}
        columns = {c: {new.get(clip, clip): value for clip, value in of.items()} for c, of in columns.items()}
        others = {k: {new.get(clip, clip): a for clip, a in of.items()} for k, of in others.items()}
    elif len(features) > 1 and len(set.union(*map(set, features.values()))) == sum(
        map(len, features.values())
    ):
        each = ", ".join(f"{m} '{next(iter(of))}'" for m, of in features.items())
        source.notes.append(f"no clip has two modalities: their names have nothing in common ({each})")
    clips = sorted({clip for members in features.values() for clip in members}, key=_order)
    source.clips = len(clips)
    if clips != list(map(str, range(len(clips)))):  # else places in a list
        source.ids = clips
    source.columns |= {
        c: [of.get(clip, "") for clip in clips] for c, of in columns.items() if any(of.values())
    }
    masks: dict[str, dict[str, Array]] = {kind: {} for kind in features}
    for key, members in others.items():
        _place(source, key, [members.get(clip) for clip in clips], clips, masks)
    for kind, members in features.items():
        source.features[kind] = ClipArrays(f"{path}: '{kind}'", clips, members, masks[kind])
    return source


def _levels(leaves: Sequence[Leaf], named: Sequence[str]) -> tuple[int, int | None]:
    """The levels of the clips and of the modalities; None if there is a single modality.

    Most names are those of clips. They come again under each modality, and not in each folder of clips.
    """
    depth = len(leaves[0].keys)
    counts = [len({leaf.keys[at] for leaf in leaves}) for at in range(depth)]
    known = next((at for at in range(depth) if any(leaf.keys[at] in named for leaf in leaves)), None)
    others = [at for at in range(depth) if at != known]
    if not others:
        return 0, None
    clip = max(others, key=lambda at: (counts[at], at))
    if known is not None:
        return clip, known
    rest = [at for at in others if at != clip and counts[at] <= MOST_MODALITIES]
    if not rest:
        return clip, None

    def repeated(at: int) -> float:
        without = {leaf.keys[:at] + leaf.keys[at + 1 :] for leaf in leaves}
        return round(len(leaves) / len(without), 2)

    return clip, max(rest, key=lambda at: (repeated(at), -counts[at], -at))


def _ids(places: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """The id of the clip of a split, a folder and a name: the name alone where it is no other's."""
    for parts in (slice(2, 3), slice(1, 3), slice(0, 3)):
        ids = {place: "/".join(filter(None, place[parts])) for place in places}
        if len(set(ids.values())) == len(places):
            break
    return ids


def _sorted(
    arrays: Mapping[str, Mapping[str, Array]], named: Sequence[str], source: Source
) -> tuple[dict[str, Mapping[str, Array]], dict[str, Mapping[str, Array]]]:
    """What is features, and what else is known of clips."""
    features, numbers, others = {}, {}, {}
    for key, members in arrays.items():
        kinds = Counter(array.kind for array in members.values() if isinstance(array, Unread) and array.kind)
        for kind, count in kinds.items():
            told = "" if count == len(members) else f" in {count} clips"
            source.notes.append(f"'{key}' is not imported{told}: an object of {kind}")
        first = next((a for a in members.values() if not isinstance(a, Unread)), None)
        special = any(pattern.match(key) for pattern in (MASKS, LENGTHS, OTHERS)) or LABELS.search(key)
        if first is None:
            continue
        size = int(np.prod(first.shape, dtype=np.int64))
        if key in named or (first.dtype.kind == "f" and size > 1 and not special and not named):
            features[key] = members
        elif first.dtype.kind in "iu" and size > 1 and not special and not named:
            numbers[key] = members
        else:
            others[key] = members
    if not features:
        features, numbers = numbers, {}
    source.notes += [
        f"'{key}' of integers is not imported; name it by --modality if it is features" for key in numbers
    ]
    if not features:
        raise InputError(
            "no features found",
            where=source.path,
            expected="an array of floats for each clip and modality",
            fix="name them by --modality",
        )
    return features, others


def _order(clip: str) -> tuple[int, str]:
    """Numbers by their size, other ids by the alphabet."""
    return (int(clip), "") if clip.isdecimal() and len(clip) < 18 else (-1, clip)


def _place(
    source: Source,
    key: str,
    members: Sequence[Array | None],
    clips: Sequence[str],
    masks: Mapping[str, dict[str, Array]],
) -> None:
    """Find the use of values of clips that are no features."""
    there = {c: a for c, a in zip(clips, members, strict=True) if a is not None and not isinstance(a, Unread)}
    given = [there[clip].whole() if clip in there else None for clip in clips]
    mask, other = MASKS.match(key), OTHERS.match(key)
    modality = (mask and (mask["a"] or mask["b"])) or (other and other["a"]) or ""
    values = [None if value is None else _plain(value) for value in given]
    if mask and (modality in masks or mask["all"]):
        for name in [modality] if modality else masks:
            masks[name].update(there)
    elif other and modality in masks and other["what"] == "times":
        source.times[modality] = given
    elif other and modality in masks:
        source.tokens[modality] = [texts(words) if words is not None else [] for words in given]
    elif key.lower() in IDS and None not in values and len(set(map(str, values))) == len(values):
        source.ids, source.ids_from = values, f"'{key}'"
    elif all(value is None or np.ndim(value) <= 1 for value in values):
        source.columns[key] = values
    else:
        source.notes.append(f"'{key}' is not imported")


def _plain(value: Any) -> Any:
    """A value of a column: one of Python's, or a list."""
    listed = texts(np.atleast_1d(value))
    return listed[0] if len(listed) == 1 else listed


class ClipArrays(LazyClips):
    """Features of one modality, an array for each clip that has it."""

    def __init__(
        self, where: str, clips: Sequence[str], arrays: Mapping[str, Array], masks: Mapping[str, Array]
    ) -> None:
        super().__init__(len(clips))
        self._where, self._ids, self._arrays, self._masks = where, clips, arrays, masks

    def read(self, rows: range) -> list[Any]:
        return [self._clip(self._ids[row]) for row in rows]

    def _clip(self, clip: str) -> Any:
        array = self._arrays.get(clip)
        if array is None or isinstance(array, Unread):
            return None
        values = np.asarray(array.whole())
        if clip in self._masks and len(mask := np.asarray(self._masks[clip].whole()).astype(bool)) == len(
            values
        ):
            values = values[mask]
        return values if values.size else None
