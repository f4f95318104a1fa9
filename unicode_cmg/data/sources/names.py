"""What names of files say: which part of a name is the clip, the modality or the split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from unicode_cmg.data.splits import spelled

MOST_MODALITIES = 12
_TOKENS = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
_MARKS = re.compile(r"[\W_]+")


def split_of(names: Collection[str]) -> dict[str, tuple[str, str]] | None:
    """Name -> what is left of it and its split, of names such as `audio_train`; None if one has no split."""
    found = {}
    for name in names:
        first, mark, rest = _cut(name, 0)
        before, mark_, last = _cut(name, -1)
        if mark_ and last in spelled([last]):
            found[name] = before, last
        elif mark and first in spelled([first]):
            found[name] = rest, first
        else:
            return None
    rests = {rest for rest, _ in found.values()}
    return found if len({split for _, split in found.values()}) > 1 and "" not in rests else None


def modality_of(names: Collection[str]) -> dict[str, tuple[str, str]] | None:
    """Name -> clip and modality, of names such as `0001_audio` or `audio-0001`; None for other names.

    The modality is the first or the last word of each name, if these words are few and each comes with many
    clips, most of which come with several of them.
    """
    for at in (-1, 0):
        cuts = {name: _cut(name, at) for name in names}
        found = {n: (a, b) if at else (b, a) for n, (a, mark, b) in cuts.items() if mark and a and b}
        kinds = Counter(kind for _, kind in found.values())
        clips = {clip for clip, _ in found.values()}
        if (
            len(found) == len(names)
            and 2 <= len(kinds) <= MOST_MODALITIES
            and not any(kind.isdecimal() for kind in kinds)
            and len(found) > 1.2 * len(clips)
            and len(clips) > len(kinds)
        ):
            return found
    return None


def _cut(name: str, at: int) -> tuple[str, str, str]:
    """A name at its first or last mark that is neither letter nor digit."""
    marks = list(_MARKS.finditer(name))
    if not marks:
        return name, "", ""
    mark = marks[at]
    return name[: mark.start()], mark[0], name[mark.end() :]


def matched(names: Mapping[str, Sequence[str]]) -> tuple[dict[str, dict[str, str]], str] | None:
    """Modality -> name -> id, where modalities name the same clips in different ways; None if they do not.

    What all names of a modality begin and end with is cut off: `audio_001.wav` and `video_001` are both 001.

    Returns:
        The ids, and an example for a note.
    """
    sets = {m: set(listed) for m, listed in names.items()}
    if len(sets) < 2 or all(not a.isdisjoint(b) for a in sets.values() for b in sets.values()):
        return None
    cut = {m: _without_common(listed) for m, listed in names.items()}
    if any(len(set(ids.values())) < len(ids) for ids in cut.values()):
        return None
    before = len(set.union(*sets.values()))
    if len({clip for ids in cut.values() for clip in ids.values()}) >= before:
        return None
    told = " and ".join(f"'{listed[0]}'" for listed in names.values())
    return cut, f"{told} are the clip '{next(iter(next(iter(cut.values())).values()))}'"


def _without_common(names: Sequence[str]) -> dict[str, str]:
    """Name -> the rest of it without the words that all names begin with and end with."""
    words = {name: _TOKENS.findall(name) for name in names}
    least = min(map(len, words.values()))
    start = _common(list(words.values()), least - 1)
    end = _common([parts[::-1] for parts in words.values()], least - 1 - start)
    return {name: "".join(parts[start : len(parts) - end]) for name, parts in words.items()}


def _common(lists: Sequence[Sequence[str]], most: int) -> int:
    """How many of their first parts are the same in all lists."""
    same = 0
    while same < most and len({parts[same] for parts in lists}) == 1:
        same += 1
    return same
