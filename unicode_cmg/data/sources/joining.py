"""Sources of some modalities each, joined by the ids of their clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.data.sources.source import LazyClips, Source
from unicode_cmg.errors import InputError


def joined(sources: Sequence[Source], path: Path) -> Source:
    """One source of the clips of several, which have ids, or are as many and in the same order.

    Args:
        sources: With different modalities.
        path: For messages.

    Raises:
        InputError: One has no ids and not as many clips as the others, or an id twice.
    """
    if all(source.ids is None for source in sources) and len({source.clips for source in sources}) == 1:
        places: list[Mapping[Any, int]] = [dict(enumerate(range(source.clips))) for source in sources]
        ids: list[Any] = list(range(sources[0].clips))
    else:
        places = [_places(source) for source in sources]
        ids = list(dict.fromkeys(clip for place in places for clip in place))
    whole = Source("", path, len(ids))
    for source, place in zip(sources, places, strict=True):
        rows = [place.get(clip) for clip in ids]
        for name, values in source.features.items():
            whole.features[name] = _Picked(values, source.masks.get(name), rows)
        whole.times |= {name: _picked(values, rows) for name, values in source.times.items()}
        whole.tokens |= {
            name: [words or [] for words in _picked(values, rows)] for name, values in source.tokens.items()
        }
        for name, values in source.columns.items():
            whole.columns.setdefault(name, _picked(values, rows))
        whole.notes += source.notes
    if any(source.ids is not None for source in sources):
        whole.ids, whole.ids_from = ids, next(source.ids_from for source in sources if source.ids is not None)
        if not set.intersection(*map(set, places)):
            each = " and ".join(f"'{next(iter(place), '')}'" for place in places)
            whole.notes.append(f"no clip has all modalities: ids such as {each}")
    return whole


def renamed(source: Source, name: str) -> Source:
    """A source of a single modality, under another name.

    Raises:
        InputError: It has several.
    """
    if len(source.features) > 1:
        found = ", ".join(source.features)
        raise InputError(
            f"several modalities: {found}", where=source.path, expected=f"one, for --modality {name}="
        )
    for held in (source.features, source.masks, source.times, source.tokens):
        for key in list(held):
            held[name] = held.pop(key)  # type: ignore[assignment]
    return source


def _places(source: Source) -> Mapping[Any, int]:
    if source.ids is None:
        raise InputError(
            "no ids, by which to join it with the others", where=source.path, expected="ids of clips"
        )
    place = {str(clip): row for row, clip in enumerate(source.ids)}
    if len(place) < len(source.ids):
        twice = next(clip for clip in map(str, source.ids) if list(map(str, source.ids)).count(clip) > 1)
        raise InputError(f"the id '{twice}' occurs twice", where=source.path, expected="each clip once")
    return place


def _picked(values: Sequence[Any], rows: Sequence[int | None]) -> list[Any]:
    return [None if row is None else values[row] for row in rows]


class _Picked(LazyClips):
    """Some clips of features, with their valid steps alone."""

    def __init__(self, values: Any, mask: Any, rows: Sequence[int | None]) -> None:
        super().__init__(len(rows))
        self._values, self._mask, self._picks = values, mask, rows

    def read(self, rows: range) -> list[Any]:
        return [None if (row := self._picks[at]) is None else self._clip(row) for at in rows]

    def _clip(self, row: int) -> Any:
        found = self._values[row : row + 1]
        clip = None if found[0] is None else np.asarray(found[0])
        if clip is not None and self._mask is not None:
            valid = np.asarray(self._mask[row])
            clip = (clip if valid else None) if valid.ndim == 0 else clip[valid]
        return clip if clip is not None and clip.size else None
