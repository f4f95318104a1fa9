"""Files and folders of arrays as a source: what each level of folders, files and keys stands for.

The way to an array, such as `train/audio/0001.npy`, or the key `0001/audio` of a file, is a list of names. A
level is what stands at one place of all these lists. Its names are splits, modalities, clips or folders of
clips: their number, their spelling and their repetition say which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unicode_cmg.data.sources.array_files import is_array_file, read_arrays
from unicode_cmg.data.sources.clip_arrays import clip_arrays
from unicode_cmg.data.sources.joining import joined
from unicode_cmg.data.sources.names import MOST_MODALITIES, modality_of, split_of
from unicode_cmg.data.sources.source import IDS, Array, Chain, Leaf, Source, Wanted, from_keys, is_features
from unicode_cmg.data.splits import spelled
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import read_text

_DEEPEST = 8
_MOST_SPLITS = 64  # names of a level that may name splits, such as audio_train
_GENERIC = ("zip", "npy", "feature", "features", "feat", "feats", "data", "arr_0")
_ID_LISTS = ("ids.txt", "names.txt", "clips.txt")


def read_tree(path: Path, wanted: Wanted) -> Source:
    """A file of arrays, or a folder of such files.

    Raises:
        InputError: There is no array, a file is damaged, or the arrays do not fit each other.
    """
    folder = path.is_dir()
    leaves = _files(path, 0) if folder else [Leaf(keys, array) for keys, array in read_arrays(path).items()]
    if not leaves:
        raise _nothing(path)
    leaves = _chosen(leaves, wanted, path)
    named = tuple(wanted.modalities)
    leaves, name = _without_single(leaves, path.name if folder else path.stem, named)
    leaves = _without_splits(leaves)
    main = [leaf for leaf in leaves if set(named).intersection(leaf.keys)] or leaves
    depth = Counter(len(leaf.keys) for leaf in main).most_common(1)[0][0]
    notes = [f"'{'/'.join(leaf.keys)}' is not imported" for leaf in leaves if len(leaf.keys) != depth]
    leaves = [leaf for leaf in leaves if len(leaf.keys) == depth]
    if depth == 0:
        leaves, depth = [replace(leaf, keys=(name,)) for leaf in leaves], 1
    kind = "a folder" if folder else f"a {path.suffix} file"
    if depth == 1 and not named and (cut := modality_of({leaf.keys[0] for leaf in leaves})):
        leaves, depth = [replace(leaf, keys=cut[leaf.keys[0]]) for leaf in leaves], 2
        notes.append(f"names such as '{next(iter(cut))}' are those of a clip and a modality")
    if depth == 2 and (parts := _with_own_ids(leaves)):
        source = joined([_whole_arrays(path, part, Wanted({m: m})) for m, part in parts.items()], path)
        source.kind = f"{kind} with an array and its ids for each modality"
    elif _of_all_clips(leaves, named):
        source = _whole_arrays(path, leaves, Wanted({m: m for m in named}, wanted.ids))
        source.kind = f"{kind} with an array for each modality"
    else:
        source = clip_arrays(path, leaves, named, name)
        source.kind = f"{kind} with {'a file' if folder else 'an array'} for each clip"
    source.notes[:0] = notes[:10] + ([f"and {len(notes) - 10} more"] if len(notes) > 10 else [])
    return source


def _nothing(path: Path) -> InputError:
    held = Counter(file.suffix.lower() for file in path.rglob("*") if file.is_file()) if path.is_dir() else {}
    told = ", ".join(
        f"{count} {suffix or 'without a suffix'}" for suffix, count in Counter(held).most_common(4)
    )
    expected = (
        "arrays in files .npy, .npz, .h5, .pt, .pkl, .safetensors or .parquet, a published layout, a saved"
        " data set, or a feature store"
    )
    fix = "for sound, video, images and text, use unicode-cmg extract" if told else None
    what = "nothing to import in it" + (f", but files {told}" if told else "")
    return InputError(what, where=path, expected=expected, fix=fix)


def _files(folder: Path, depth: int) -> list[Leaf]:
    """The arrays in the files under a folder; a folder in which there is but one folder is no level."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX")))
    files = [entry for entry in entries if entry.is_file() and is_array_file(entry, tables=depth > 0)]
    arrays = {file: read_arrays(file) for file in files}
    single = len({key for found in arrays.values() for key in found}) == 1
    leaves: dict[tuple[str, ...], Leaf] = {}
    for file, found in arrays.items():
        own = {key[:1] for key in found}
        same = len(own) == 1 and own <= {(file.stem,), *((name,) for name in _GENERIC)}
        for key, array in found.items():
            key = key[1:] if same else key
            place = (file.stem, *(() if single else key))
            if place in leaves:
                what = f"a second file of the name '{file.stem}'"
                raise InputError(
                    what, where=file, expected="one file for each clip", fix="move one of them away"
                )
            leaves[place] = Leaf(place, array)
    inner = [entry for entry in entries if entry.is_dir()] if depth < _DEEPEST else []
    no_level = len(inner) == 1 and depth > 0 and not files
    below = [
        leaf if no_level else replace(leaf, keys=(entry.name, *leaf.keys))
        for entry in inner
        for leaf in _files(entry, depth + 1)
    ]
    return [*leaves.values(), *below]


def _chosen(leaves: Sequence[Leaf], wanted: Wanted, path: Path) -> list[Leaf]:
    """The leaves, with the names of modalities in place of the keys that the user gave for them."""
    renamed: dict[int, Leaf] = {}
    hidden: set[tuple[int, str]] = set()  # what had such a name and is not meant
    for name, key in wanted.modalities.items():
        stem = key.removesuffix(Path(key).suffix) if is_array_file(Path(key)) else key
        parts = tuple(part for part in stem.split("/") if part != ".")
        places = [_place_of(parts, leaf.keys) for leaf in leaves]
        if all(place is None for place in places):
            known = dict.fromkeys(part for leaf in leaves for part in leaf.keys)
            raise unknown("key", key, list(known)[:40], where=path)
        for row, (leaf, at) in enumerate(zip(leaves, places, strict=True)):
            if at is not None:
                keys = (*leaf.keys[:at], name, *leaf.keys[at + len(parts) :])
                renamed[row] = replace(leaf, keys=keys)
                hidden.add((at, name))
    if wanted.ids and not any(wanted.ids in leaf.keys for leaf in leaves):
        raise unknown("key", wanted.ids, dict.fromkeys(k for leaf in leaves for k in leaf.keys), where=path)
    return [
        renamed.get(row, leaf)
        for row, leaf in enumerate(leaves)
        if row in renamed or hidden.isdisjoint(enumerate(leaf.keys))
    ]


def _place_of(parts: tuple[str, ...], keys: tuple[str, ...]) -> int | None:
    """Where some names follow each other in others."""
    return next((at for at in range(len(keys) - len(parts) + 1) if keys[at : at + len(parts)] == parts), None)


def _without_single(leaves: list[Leaf], name: str, named: Sequence[str]) -> tuple[list[Leaf], str]:
    """The leaves without levels of a single name, and the last such name that says something."""
    at = 0
    while at < min(len(leaf.keys) for leaf in leaves):
        names = {leaf.keys[at] for leaf in leaves}
        if len(names) > 1 or names & set(named):
            at += 1
            continue
        (only,) = names
        name = name if only.lower() in _GENERIC else only
        leaves = [leaf.without(at) for leaf in leaves]
    return leaves, name


def _without_splits(leaves: list[Leaf]) -> list[Leaf]:
    """The leaves without the names of their splits."""
    for at in range(min(len(leaf.keys) for leaf in leaves)):
        names = {leaf.keys[at] for leaf in leaves}
        if len(names) > 1 and len(spelled(names)) == len(names):
            return [leaf.without(at, split=leaf.keys[at]) for leaf in leaves]
        if len(names) <= _MOST_SPLITS and (cut := split_of(names)):
            return [
                Leaf(
                    (*leaf.keys[:at], cut[leaf.keys[at]][0], *leaf.keys[at + 1 :]),
                    leaf.array,
                    cut[leaf.keys[at]][1],
                )
                for leaf in leaves
            ]
    return leaves


def _of_all_clips(leaves: Sequence[Leaf], named: Sequence[str]) -> bool:
    """Whether there are a few arrays that hold a row for each clip, and not an array for each clip."""
    if len({leaf.keys[-1:] for leaf in leaves}) < len({leaf.keys for leaf in leaves}) or len(leaves) > 200:
        return False
    features = [leaf for leaf in leaves if is_features(leaf.keys[-1], leaf.array)]
    if named:
        return any(leaf.keys[-1] in named for leaf in leaves)
    shapes = [leaf.array.shape for leaf in features]
    if len({leaf.keys for leaf in features}) > MOST_MODALITIES:
        return False
    rows = {(leaf.split, leaf.array.shape[0]) for leaf in features}
    if len(rows) == len({leaf.split for leaf in features}):
        return True
    return (
        len({shape[1:] for shape in shapes}) > 1
    )  # clips of one modality differ in their number of steps alone


def _with_own_ids(leaves: Sequence[Leaf]) -> dict[str, list[Leaf]]:
    """Modality -> its array and its ids, if each of several files or groups has both; else nothing."""
    parts: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        parts.setdefault(leaf.keys[0], []).append(leaf)
    found: dict[str, list[Leaf]] = {}
    for name, members in parts.items():
        features = [leaf for leaf in members if is_features(leaf.keys[-1], leaf.array)]
        ids = [leaf.array.shape for leaf in members if leaf.keys[-1].lower() in IDS]
        if len(features) != 1 or features[0].array.shape[:1] not in ids:  # else the sample of a clip
            return {}
        found[name] = [replace(leaf, keys=(name,) if leaf in features else leaf.keys) for leaf in members]
    return found if len(found) > 1 else {}


def _whole_arrays(path: Path, leaves: Sequence[Leaf], wanted: Wanted) -> Source:
    """Arrays `[N, ...]` of all clips, or of all clips of a split."""
    by_key: dict[str, dict[str, Array]] = {}
    for leaf in leaves:
        by_key.setdefault(leaf.keys[-1], {})[leaf.split] = leaf.array
    splits = list(dict.fromkeys(leaf.split for leaf in leaves))
    source = Source("", path, 0)
    whole: dict[str, Any] = {}
    for key, parts in by_key.items():
        if list(parts) == [""]:
            whole[key] = parts[""]
        elif len(parts) < len(splits):
            source.notes.append(f"'{key}' is not imported: not every split has it")
        elif any(not array.shape for array in parts.values()):
            source.notes.append(f"'{key}' is not imported: it has not one row for each clip")
        else:
            whole[key] = Chain([parts[split] for split in splits], f"{path}: '{key}'")
    from_keys(source, whole, wanted)
    if len(splits) > 1:
        like = next(
            key for key in by_key if isinstance(whole.get(key), Chain) and is_features(key, whole[key])
        )
        source.columns["split"] = [s for s in splits for _ in range(by_key[like][s].shape[0])]
        if source.ids is not None and len(set(source.ids)) < len(source.ids):
            pairs = zip(source.columns["split"], source.ids, strict=True)
            source.ids = [f"{split}/{clip}" for split, clip in pairs]
    listed = next((path / name for name in _ID_LISTS if (path / name).is_file()), None)
    if source.ids is None and listed is not None:
        source.ids, source.ids_from = read_text(listed).splitlines(), listed.name
    return source
