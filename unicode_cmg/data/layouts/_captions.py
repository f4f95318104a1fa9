"""The lists of the retrieval sets: which items there are, and what is said about each.

Every list is read to `(item, caption)` pairs in the order of the file; a caption is None in a set whose
items are only seen and heard.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from unicode_cmg.data.layouts._tables import read_table, write_table
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json

Pair: TypeAlias = tuple[str, str | None]

CLOTHO_CAPTIONS = 5
_CLOTHO = ("file_name", *(f"caption_{k}" for k in range(1, CLOTHO_CAPTIONS + 1)))
_SUFFIX = 4  # characters cut from a file name, as published: ".wav", ".mp4"


@dataclass(frozen=True)
class Form:
    """How a kind of list is read and written."""

    read: Callable[[Path], list[Pair]]
    write: Callable[[Path, Sequence[Pair]], None]


def _item(name: str, path: Path, cut: int = 0) -> str:
    item = name[:-cut] if cut else name
    if not item:
        raise InputError(f"'{name}' names no item", where=path, expected="a file name with its suffix")
    return item


def _read_coco(path: Path) -> list[Pair]:
    content = read_json(path)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    pairs: list[Pair] = []
    for entry in _entries(annotations, ("image_id", "caption"), path, "an object with a list 'annotations'"):
        if not str(entry["image_id"]).isdecimal():
            raise InputError(
                f"the image_id {entry['image_id']!r}", where=path, expected="a whole number, such as 42"
            )
        pairs.append((f"{int(entry['image_id']):012}", str(entry["caption"])))
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


def _entries(found: Any, keys: tuple[str, str], path: Path, expected: str) -> Iterable[dict[str, Any]]:
    if not isinstance(found, list) or not found:
        raise InputError("no entry in this list", where=path, expected=expected)
    for number, entry in enumerate(found):
        if not isinstance(entry, dict) or not set(keys) <= set(entry):
            raise InputError(f"entry {number} lacks {' or '.join(keys)}", where=path, expected=expected)
        yield entry


def _read_clotho(path: Path) -> list[Pair]:
    """A row has an item and its five captions; they stay together, in the order of their columns."""
    return [
        (_item(name, path, _SUFFIX), caption)
        for name, *captions in read_table(path, _CLOTHO)
        for caption in captions
    ]


def _write_clotho(path: Path, pairs: Sequence[Pair]) -> None:
    rows = [pairs[start : start + CLOTHO_CAPTIONS] for start in range(0, len(pairs), CLOTHO_CAPTIONS)]
    if any(len({item for item, _ in row}) != 1 or len(row) != CLOTHO_CAPTIONS for row in rows):
        raise ValueError("five captions of each item, one after the other")
    _write_csv(path, _CLOTHO, [(f"{row[0][0]}.wav", *(caption for _, caption in row)) for row in rows])


def _read_msvd(path: Path) -> list[Pair]:
    return [(_item(name, path), caption) for name, caption in read_table(path, ("video_name", "caption"))]


def _write_msvd(path: Path, pairs: Sequence[Pair]) -> None:
    _write_csv(path, ("video_name", "caption"), pairs)


def _read_flickr(path: Path) -> list[Pair]:
    return [(_item(name, path, _SUFFIX), None) for (name,) in read_table(path, ("filename",))]


def _write_flickr(path: Path, pairs: Sequence[Pair]) -> None:
    write_table(path, ("filename",), [(f"{item}.mp4",) for item, _ in pairs], ",")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """With every caption in quotes, as it may hold commas."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([columns, *rows])


COCO, CLOTHO = Form(_read_coco, _write_coco), Form(_read_clotho, _write_clotho)
MSVD, VALOR = Form(_read_msvd, _write_msvd), Form(_read_valor, _write_valor)
FLICKR = Form(_read_flickr, _write_flickr)
