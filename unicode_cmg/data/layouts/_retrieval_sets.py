"""Where each retrieval set keeps what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from unicode_cmg.data.layouts import _captions as forms


class Layout(NamedTuple):
    """Names inside a data root; of several the first that is there is read, and the first of all is written.

    Attributes:
        folders: Of the set.
        lists: Of items and captions, in that folder or its `data/`.
        form: Of the list.
        features: Modality -> the folder of its zips, in the folder of the set.
    """

    folders: tuple[str, ...]
    lists: tuple[str, ...]
    form: forms.Form
    features: Mapping[str, tuple[str, ...]]

    def folder(self, data_root: Path) -> Path:
        """The folder of the set inside `data_root`, or `data_root` itself if that has the list."""
        found = _first([data_root / name for name in self.folders], Path.is_dir)
        return found or (data_root if self.list_in(data_root).is_file() else data_root / self.folders[0])

    def list_in(self, folder: Path) -> Path:
        """The list, or where it should be."""
        places = [base / name for name in self.lists for base in (folder, folder / "data")]
        return _first(places, Path.is_file) or places[0]

    def features_in(self, folder: Path) -> dict[str, Path]:
        """Modality -> the folder of its zips, or where it should be."""
        places = {modality: [folder / name for name in names] for modality, names in self.features.items()}
        return {m: _first(some, Path.is_dir) or some[0] for m, some in places.items()}


def _first(places: Sequence[Path], exists: Callable[[Path], bool]) -> Path | None:
    return next((place for place in places if exists(place)), None)


LAYOUTS: Mapping[str, Layout] = {
    "coco": Layout(
        ("MSCOCO",), ("val_part_1.json",), forms.COCO, {"video": ("feature/zip", "feature/video/zip")}
    ),
    "clotho": Layout(
        ("clotho2.1", "Clotho"),
        ("clotho_captions_evaluation.csv", "test.csv", "csv_files/test.csv"),
        forms.CLOTHO,
        {"audio": ("feature/zip", "feature/audio/zip")},
    ),
    "flickr-sound": Layout(
        ("FlickrSoundNet/Data", "FlickrSoundNet", "FlickrSound", "Data"),
        ("test.csv",),
        forms.FLICKR,
        {"audio": ("feature/audio/zip",), "video": ("feature/image/zip", "feature/video/zip")},
    ),
    "msvd": Layout(
        ("MSVD/MSVD", "MSVD"),
        ("test.csv", "msvd_test.csv"),
        forms.MSVD,
        {"video": ("feature/zip", "feature/video/zip")},
    ),
    "valor": Layout(
        ("VALOR32K",),
        ("VALOR-32K-annotations/desc_test.json", "desc_test.json"),
        forms.VALOR,
        {"video": ("feature/video/zip",), "audio": ("feature/audio/zip",)},
    ),
}
