"""A file for each clip: `audio/ID.npy`, `audio/ID.zip` as published, or `ID.npz` with all modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.data.layouts.zips import read_clip
from unicode_cmg.data.sources.arrays import NpzArray, mapped_npy, npz_arrays
from unicode_cmg.data.sources.source import LazyClips, Source, Wanted, take_modalities
from unicode_cmg.errors import InputError

SUFFIXES = (".npy", ".zip")
_FROM = "the names of the files"


def clip_folders(path: Path) -> dict[str, Path]:
    """Folder name -> the folder of its files, for each folder in `path` that has a file for each clip.

    The files may be one folder deeper, as in the published `audio/zip/ID.zip`.
    """
    found = {}
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        inner = [entry for entry in folder.iterdir() if entry.is_dir()]
        for place in (folder, *(inner if len(inner) == 1 else ())):
            if any(file.suffix in SUFFIXES for file in place.iterdir()):
                found[folder.name] = place
                break
    return found


def read_clip_folders(path: Path, wanted: Wanted) -> Source:
    """A folder for each modality, with a file for each clip; a clip without a file lacks the modality.

    Raises:
        InputError: There is no such folder, or no file in it.
    """
    folders = clip_folders(path)
    for key in wanted.modalities.values():
        if (path / key).is_dir() and any(f.suffix in SUFFIXES for f in (path / key).iterdir()):
            folders.setdefault(key, path / key)
    chosen = {key: folders[key] for key in wanted.modalities.values() if key in folders} or folders
    files = {key: _files(folder) for key, folder in chosen.items()}
    ids = sorted({clip for members in files.values() for clip in members})
    source = Source("a folder with a file for each clip", path, len(ids), ids=ids, ids_from=_FROM)
    take_modalities(source, {key: _Files(ids, members) for key, members in files.items()}, wanted)
    return source


def read_npz_clips(path: Path, wanted: Wanted) -> Source:
    """A folder with an npz file for each clip, which holds an array for each modality.

    Raises:
        InputError: A file is damaged.
    """
    files = {file.stem: file for file in sorted(path.glob("*.npz"))}
    ids = list(files)
    keys: dict[str, None] = {}
    for file in list(files.values())[:32]:
        keys.update(dict.fromkeys(_feature_keys(file)))
    source = Source("a folder with an npz file for each clip", path, len(ids), ids=ids, ids_from=_FROM)
    take_modalities(source, {key: _NpzClips(list(files.values()), key) for key in keys}, wanted)
    return source


def _feature_keys(file: Path) -> list[str]:
    arrays = npz_arrays(file)
    return [key for key, array in arrays.items() if array.dtype.kind == "f" and array.shape]


def _files(folder: Path) -> dict[str, Path]:
    files = {file.stem: file for file in sorted(folder.iterdir()) if file.suffix in SUFFIXES}
    if not files:
        raise InputError("no .npy or .zip file in this folder", where=folder, expected="one for each clip")
    return files


class _Files(LazyClips):
    def __init__(self, ids: list[str], files: dict[str, Path]) -> None:
        super().__init__(len(ids))
        self._ids, self._files = ids, files

    def read(self, rows: range) -> list[Any]:
        return [self._load(self._files.get(self._ids[row])) for row in rows]

    @staticmethod
    def _load(file: Path | None) -> Any:
        if file is None:
            return None
        return read_clip(file) if file.suffix == ".zip" else np.asarray(mapped_npy(file))


class _NpzClips(LazyClips):
    def __init__(self, files: list[Path], key: str) -> None:
        super().__init__(len(files))
        self._clip_files, self._key = files, key

    def read(self, rows: range) -> list[Any]:
        return [self._load(self._clip_files[row]) for row in rows]

    def _load(self, file: Path) -> Any:
        try:
            array = NpzArray(file, f"{self._key}.npy")
        except InputError as error:
            if "no item named" in str(error):
                return None
            raise
        return array[0 : len(array)]
