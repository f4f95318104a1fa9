"""Sources of raw media: folders, lists of clips, and data sets of the library `datasets`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from unicode_cmg.data.store.part import INDEX
from unicode_cmg.errors import InputError
from unicode_cmg.extract.clips import READS, Clip, MediaSource, kind_of
from unicode_cmg.extract.sources.folder import read_folder
from unicode_cmg.extract.sources.listing import Join, Listing
from unicode_cmg.extract.sources.manifest import Wanted, read_manifest
from unicode_cmg.extract.sources.pattern import Pattern
from unicode_cmg.files import check_regular

__all__ = ["Join", "Listing", "Pattern", "Wanted", "open_media"]

_LISTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_EXPECTED = "a folder of media, a list of clips (csv, tsv, jsonl, json or Parquet), or a saved data set"


def open_media(
    path: Path,
    modalities: Mapping[str, Wanted],
    root: Path | None = None,
    clip_id: Pattern | None = None,
    listing: Listing | None = None,
) -> MediaSource:
    """Find the clips of a source, whichever of the known forms it has; no file of media is opened.

    Args:
        path: A folder, a list of clips, or a single file of media.
        modalities: Modality -> what it is.
        root: The folder that paths of a list are relative to and may not leave.
        clip_id: The ids of a list, as a pattern.
        listing: Which lists a folder has.

    Raises:
        InputError: There is nothing, it has none of the forms, or it is damaged.
    """
    if not path.exists():
        raise InputError("no such file or folder", where=path, fix="check the path")
    listed = path.suffix.lower() in _LISTS if path.is_file() else _is_data_set(path)
    if listing is not None:
        if not path.is_dir():
            raise InputError("this is no folder", where=path, expected="the folder of the data set")
        return read_manifest(path, modalities, root, clip_id, listing)
    if listed:
        return read_manifest(path, modalities, root, clip_id)
    if root is not None or clip_id is not None or any(wanted.patterns for wanted in modalities.values()):
        what = "a root, an id or patterns of files are given, but no list of clips"
        raise InputError(what, where=path, expected="a csv, tsv, jsonl, json or Parquet file as SOURCE")
    kinds = {name: wanted.kind for name, wanted in modalities.items()}
    if path.is_dir():
        if (path / INDEX).is_file():
            raise InputError("this is a feature store", where=path, expected=_EXPECTED)
        return read_folder(path, kinds)
    check_regular(path)
    if path.suffix.lower() in _ARCHIVES or zipfile.is_zipfile(path):
        what = "an archive is not read, because its files would have to be unpacked first"
        raise InputError(what, where=path, fix="unpack it into a folder, and name the folder")
    kind = kind_of(path.name)
    media = {name: path for name, wanted in kinds.items() if kind in READS[wanted]}
    if not media:
        raise InputError(f"a {path.suffix or 'file'}", where=path, expected=_EXPECTED)
    return MediaSource(
        "a file of media",
        path,
        path.parent,
        [Clip(path.stem, media)],
        notes=(f"{path}: one clip, '{path.stem}'",),
    )


def _is_data_set(path: Path) -> bool:
    """Whether a folder holds tables with files in them, rather than files of media."""
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return True
    parquet = next(path.rglob("*.parquet"), None) is not None
    return parquet and not any(kind_of(file.name) for file in path.rglob("*") if file.is_file())
