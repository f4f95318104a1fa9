"""Sources of features in the forms in which people have them, for `unicode-cmg data import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unicode_cmg.data.sources.arrays import HDF5, read_hdf5, read_npy_folder, read_npz
from unicode_cmg.data.sources.clip_files import clip_folders, read_clip_folders, read_npz_clips
from unicode_cmg.data.sources.published import published_reader, read_store
from unicode_cmg.data.sources.source import Source, Wanted
from unicode_cmg.data.sources.tables import read_datasets, read_parquet
from unicode_cmg.data.store.part import INDEX
from unicode_cmg.errors import InputError

__all__ = ["Source", "Wanted", "open_source"]

Reader = Callable[[Path, Wanted], Source]
_EXPECTED = (
    "an .npz, .h5 or .parquet file; a folder of .npy, .npz or Parquet files, or in a published layout;"
    " a saved data set; or a feature store"
)


def open_source(path: Path, wanted: Wanted) -> Source:
    """Open a source, whichever of the known forms it has.

    Args:
        path: A file or a folder.
        wanted: What the user has said of it.

    Raises:
        InputError: There is nothing, it has none of the forms, or it is damaged.
    """
    if not path.exists():
        raise InputError("no such file or folder", where=path, fix="check the path")
    reader = _file_reader(path) if path.is_file() else _folder_reader(path, wanted)
    return reader(path, wanted)


def _file_reader(path: Path) -> Reader:
    if path.suffix == ".npz":
        return read_npz
    if path.suffix in HDF5:
        return read_hdf5
    if path.suffix == ".parquet":
        return read_parquet
    if path.suffix in (".pt", ".pth", ".pkl", ".pickle"):
        fix = "save the arrays with np.savez, which holds plain arrays"
        raise InputError("a pickle can run programs and is not read", where=path, expected=_EXPECTED, fix=fix)
    fix = "save it as an .npz file, or put it into a folder with one .npy file for each modality"
    raise InputError(f"a {path.suffix or 'file'}", where=path, expected=_EXPECTED, fix=fix)


def _folder_reader(path: Path, wanted: Wanted) -> Reader:
    if (path / INDEX).is_file():
        return read_store
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return read_datasets
    published: Reader | None = published_reader(path)
    if published is not None:
        return published
    if any(path.glob("*.npy")) and "." not in wanted.modalities.values():
        return read_npy_folder
    if any(path.glob("*.npz")):
        return read_npz_clips
    if (path / "feature").is_dir() and clip_folders(path / "feature"):
        return lambda path, wanted: read_clip_folders(path / "feature", wanted)
    if clip_folders(path) or wanted.modalities:
        return read_clip_folders
    if next(path.rglob("*.parquet"), None) is not None:
        return read_parquet
    raise InputError("nothing to import in this folder", where=path, expected=_EXPECTED)
