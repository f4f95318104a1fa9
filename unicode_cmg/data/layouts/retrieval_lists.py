"""The five retrieval sets: where each keeps its list and features, and how its list is read and written.

Every list is read to `(item, caption)` pairs in the order of the file; the caption is None in a set without
captions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from unicode_cmg.data.layouts.tables import read_table, write_table
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json

Pair: TypeAlias = tuple[str, str | None]

_CAPTIONS = 5
_CLOTHO = ("file_name", *(f"caption_{k}" for k in range(1, _CAPTIONS + 1)))
_SUFFIX = 4  # characters cut from a file name, as published: ".wav", ".mp4"


def _item(name: str, path: Path, cut: int = 0) -> str:
    item = name[:-cut] if cut else name
    if not item:
        raise InputError(f"'{name}' names no item", where=path, expected="a file name with its suffix")
    return item


def _entries(content: Any, keys: tuple[str, str], path: Path, expected: str) -> Iterable[dict[str, Any]]:
    if not isinstance(content, list) or not content:
        raise InputError("no entry in this list", where=path, expected=expected)
    for number, entry in enumerate(content):
        if not isinstance(entry, dict) or not set(keys) <= set(entry):
            raise InputError(f"entry {number} lacks {' or '.join(keys)}", where=path, expected=expected)
        yield entry


def _read_coco(path: Path) -> list[Pair]:
    content = read_json(path)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    pairs: list[Pair] = []
    for entry in _entries(annotations, ("image_id", "caption"), path, "an object with a list 'annotations'"):
        number = str(entry["image_id"])
        if not number.isdecimal():
            what = f"the image_id {entry['image_id']!r}"
            raise InputError(what, where=path, expected="a whole number, such as 42")
        pairs.append((f"{int(number):012}", str(entry["caption"])))
    return pairs


def _write_coco(path: Path, pairs: Sequence[Pair]) -> None:
    annotations = [{"image_id": int(item), "caption": caption} for item, caption in pairs]
    path.write_text(json.dumps({"annotations": annotations}), encoding="utf-8")


def _read_valor(path: Path) -> list[Pair]:
    entries = _entries(read_json(path), ("video_id", "desc"), path, "a list of objects")
    return [(_item(str(entry["video_id"]), path), str(entry["desc"])) for entry in entries]


def _write_valor(path: Path, pairs: Sequence[Pair]) -> None:
    entries = [{"video_id": item, "desc": caption} for item, caption in pairs]
    path.write_text(json.dumps(entries), encoding="utf-8")


def _read_clotho(path: Path) -> list[Pair]:
    """The five captions of a row stay together, in the order of their columns."""
    rows = read_table(path, _CLOTHO)
    return [(_item(name, path, _SUFFIX), caption) for name, *captions in rows for caption in captions]


def _write_clotho(path: Path, pairs: Sequence[Pair]) -> None:
    rows = [pairs[start : start + _CAPTIONS] for start in range(0, len(pairs), _CAPTIONS)]
    if any(len({item for item, _ in row}) != 1 or len(row) != _CAPTIONS for row in rows):
        raise ValueError("five captions of each item, one after the other")
    lines = [(f"{row[0][0]}.wav", *(caption for _, caption in row)) for row in rows]
    write_table(path, _CLOTHO, lines, quoted=True)


def _read_msvd(path: Path) -> list[Pair]:
    return [(_item(name, path), caption) for name, caption in read_table(path, ("video_name", "caption"))]


def _write_msvd(path: Path, pairs: Sequence[Pair]) -> None:
    write_table(path, ("video_name", "caption"), pairs, quoted=True)


def _read_flickr(path: Path) -> list[Pair]:
    return [(_item(name, path, _SUFFIX), None) for (name,) in read_table(path, ("filename",))]


def _write_flickr(path: Path, pairs: Sequence[Pair]) -> None:
    write_table(path, ("filename",), [(f"{item}.mp4",) for item, _ in pairs])


class RetrievalLayout(NamedTuple):
    """Names inside a data root. Of several names the first that exists is read; the first is written.

    Attributes:
        folders: Of the set.
        lists: Of items and captions, in that folder or its `data/`.
        read: Reads the list.
        write: Writes the list.
        features: Modality -> the folder of its zips, in the folder of the set.
    """

    folders: tuple[str, ...]
    lists: tuple[str, ...]
    read: Callable[[Path], list[Pair]]
    write: Callable[[Path, Sequence[Pair]], None]
    features: Mapping[str, tuple[str, ...]]

    def folder(self, data_root: Path) -> Path:
        """The folder of the set inside `data_root`, or `data_root` itself if that contains the list."""
        inside = [data_root / name for name in self.folders]
        default = data_root if self.list_in(data_root).is_file() else inside[0]
        return next(filter(Path.is_dir, inside), default)

    def list_in(self, folder: Path) -> Path:
        """The list, or where it should be."""
        places = [base / name for name in self.lists for base in (folder, folder / "data")]
        return next(filter(Path.is_file, places), places[0])

    def features_in(self, folder: Path) -> dict[str, Path]:
        """Modality -> the folder of its zips, or where it should be."""
        places = {modality: [folder / name for name in names] for modality, names in self.features.items()}
        return {m: next(filter(Path.is_dir, some), some[0]) for m, some in places.items()}


_VIDEO = {"video": ("feature/zip", "feature/video/zip")}
LAYOUTS: Mapping[str, RetrievalLayout] = {
    "coco": RetrievalLayout(("MSCOCO",), ("val_part_1.json",), _read_coco, _write_coco, _VIDEO),
    "clotho": RetrievalLayout(
        ("clotho2.1", "Clotho"),
        ("clotho_captions_evaluation.csv", "test.csv", "csv_files/test.csv"),
        _read_clotho,
        _write_clotho,
        {"audio": ("feature/zip", "feature/audio/zip")},
    ),
    "flickr-sound": RetrievalLayout(
        ("FlickrSoundNet/Data", "FlickrSoundNet", "FlickrSound", "Data"),
        ("test.csv",),
        _read_flickr,
        _write_flickr,
        {"audio": ("feature/audio/zip",), "video": ("feature/image/zip", "feature/video/zip")},
    ),
    "msvd": RetrievalLayout(
        ("MSVD/MSVD", "MSVD"), ("test.csv", "msvd_test.csv"), _read_msvd, _write_msvd, _VIDEO
    ),
    "valor": RetrievalLayout(
        ("VALOR32K",),
        ("VALOR-32K-annotations/desc_test.json", "desc_test.json"),
        _read_valor,
        _write_valor,
        {"video": ("feature/video/zip",), "audio": ("feature/audio/zip",)},
    ),
}
