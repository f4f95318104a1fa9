"""Sources of features in the forms in which people have them, for `unicode-cmg data import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unicode_cmg.data.sources.array_files import is_array_file
from unicode_cmg.data.sources.joining import joined, renamed
from unicode_cmg.data.sources.levels import read_tree
from unicode_cmg.data.sources.published import published_reader, read_store
from unicode_cmg.data.sources.source import Source, Wanted
from unicode_cmg.data.sources.tables import read_datasets, read_parquet
from unicode_cmg.data.store.part import INDEX
from unicode_cmg.errors import InputError

__all__ = ["Source", "Wanted", "open_source"]

Reader = Callable[[Path, Wanted], Source]


def open_source(path: Path, wanted: Wanted) -> Source:
    """Open a source, whichever of the known forms it has.

    Args:
        path: A file or a folder.
        wanted: What the user has said of it. A key may also be the path of another file or folder.

    Raises:
        InputError: There is nothing, it has none of the forms, or it is damaged.
    """
    if not path.exists():
        raise InputError("no such file or folder", where=path, fix="check the path")
    elsewhere = {name: at for name, key in wanted.modalities.items() if (at := _elsewhere(path, key))}
    if not elsewhere:
        return _reader(path)(path, wanted)
    here = {name: key for name, key in wanted.modalities.items() if name not in elsewhere}
    sources = [_single(at, name) for name, at in elsewhere.items()]
    if here:
        sources.insert(0, _reader(path)(path, Wanted(here, wanted.ids)))
    return joined(sources, path)


def _elsewhere(path: Path, key: str) -> Path | None:
    """The file or folder that a key names, if it is not a part of the source."""
    inside = path / key
    if "/" in key and not inside.exists() and Path(key).exists():
        return Path(key)
    return inside if "/" in key and path.is_dir() and inside.exists() else None


def _single(path: Path, name: str) -> Source:
    """The only modality in a file or folder, under a name that the user gave."""
    of_clips = path.is_dir() and any(map(is_array_file, path.iterdir()))
    return renamed(open_source(path, Wanted({name: "."} if of_clips else {})), name)


def _reader(path: Path) -> Reader:
    if path.is_file():
        return read_parquet if path.suffix == ".parquet" else read_tree
    if (path / INDEX).is_file():
        return read_store
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return read_datasets
    published: Reader | None = published_reader(path)
    if published is not None:
        return published
    return read_parquet if next(path.rglob("*.parquet"), None) is not None else read_tree
