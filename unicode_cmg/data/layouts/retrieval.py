"""The published retrieval sets: items that are seen or heard, with captions or seen and heard at once.

Features are one zip an item, of any length. Captions are published as sentences; the vectors of their words,
`text_feature.h5` and `text_mask.h5` beside the list, are our extension, with row i for caption i of the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from unicode_cmg.data.layouts._captions import Pair
from unicode_cmg.data.layouts._retrieval_sets import LAYOUTS
from unicode_cmg.data.layouts._words import read_words, write_words
from unicode_cmg.data.layouts.zips import PaddedClips, read_padded, write_clip
from unicode_cmg.errors import InputError


@dataclass(frozen=True, eq=False)
class RetrievalData:
    """Items, and what there is to find them by. Features stay on disk until asked for.

    Each modality numbers its rows on its own: a row of "text" is a caption, a row of another one an item.
    `item_of` tells which rows belong together.

    Attributes:
        name: "coco", "clotho", "flickr-sound", "msvd" or "valor".
        table: The list that was read.
        items: The id of each item, in the order in which the list first names it.
        captions: The sentences in the order of the list; none in a set that is only seen and heard.
        caption_items: `[captions]`, the row of the item that each is about.
        feature_folders: Modality -> the folder of its zips.
    """

    name: str
    table: Path
    items: tuple[str, ...]
    captions: tuple[str, ...]
    caption_items: Int64[np.ndarray, " captions"]
    feature_folders: Mapping[str, Path]

    @property
    def modalities(self) -> tuple[str, ...]:
        """What can be asked for, such as "audio" and "text"."""
        return (*self.feature_folders, *(["text"] if self.captions else []))

    def item_of(self, modality: str) -> Int64[np.ndarray, " rows"]:
        """The item that each row of a modality belongs to.

        Raises:
            InputError: The set has no such modality.
        """
        if modality not in self.modalities:
            raise InputError(
                f"no modality '{modality}'", where=self.table, expected=f"one of {', '.join(self.modalities)}"
            )
        return self.caption_items if modality == "text" else np.arange(len(self.items))

    def features(self, modality: str, rows: NDArray[np.int64], steps: int | None = None) -> PaddedClips:
        """Features of some rows, padded with zeros to equal length, and which steps are real.

        Args:
            modality: One of `modalities`.
            rows: Rows of it, in any order.
            steps: T of the result; longer rows are cut. By default none is: T is the length of the longest of
                these items, or of the longest of all captions.

        Raises:
            InputError: There is no such modality or row, an item has no readable features, their dimensions
                differ, or nobody has made vectors of the captions' words.
        """
        count = len(self.item_of(modality))
        if rows.size and (rows.min() < 0 or rows.max() >= count):
            raise InputError(
                f"rows {rows.min()} to {rows.max()} of {modality}",
                where=self.table,
                expected=f"0 to {count - 1}",
            )
        if modality == "text":
            return read_words(self.table.parent, len(self.captions), rows, steps)
        folder = self.feature_folders[modality]
        return read_padded([folder / f"{self.items[row]}.zip" for row in rows], steps)


def read_retrieval(name: str, data_root: str | Path) -> RetrievalData:
    """Open a retrieval set: the folder that contains that of the set, or the set's own.

    An item with several captions is one item, also in the sets whose released readers take every line for a
    pair of its own (MSCOCO, MSVD); `caption_items` leads back to the pairs.

    Args:
        name: "coco", "clotho", "flickr-sound", "msvd" or "valor".
        data_root: The folder.

    Raises:
        InputError: There is no such set; its list is missing, damaged or has an empty caption.
    """
    if name not in LAYOUTS:
        raise InputError(f"unknown retrieval set '{name}'", expected=" or ".join(LAYOUTS))
    layout = LAYOUTS[name]
    folder = layout.folder(Path(data_root))
    table = layout.list_in(folder)
    pairs = layout.form.read(table)
    items = {item: row for row, item in enumerate(dict.fromkeys(item for item, _ in pairs))}
    told = [(item, caption) for item, caption in pairs if caption is not None]
    for number, (item, caption) in enumerate(told):
        if not caption.strip():
            raise InputError(f"caption {number}, of '{item}', is empty", where=table)
    return RetrievalData(
        name,
        table,
        tuple(items),
        tuple(caption for _, caption in told),
        np.array([items[item] for item, _ in told], dtype=np.int64),
        layout.features_in(folder),
    )


def write_retrieval(
    name: str,
    data_root: Path,
    features: Mapping[str, Mapping[str, NDArray[np.floating]]],
    pairs: Sequence[Pair],
) -> None:
    """Write a retrieval set in the published layout.

    Args:
        name: As in `read_retrieval`.
        data_root: The folder in which to make that of the set.
        features: Modality -> item -> `[T, ...]`.
        pairs: `(item, caption)` in order, five captions an item for Clotho; `(item, None)` without captions.
    """
    layout = LAYOUTS[name]
    root = data_root / layout.folders[0]
    table = root / layout.lists[0]
    table.parent.mkdir(parents=True)
    layout.form.write(table, pairs)
    for modality, clips in features.items():
        folder = root / layout.features[modality][0]
        folder.mkdir(parents=True)
        for item, values in clips.items():
            write_clip(folder / f"{item}.zip", values)


def write_caption_words(data: RetrievalData, words: Sequence[Float[np.ndarray, "_ _"]]) -> None:
    """Write the vectors of each caption's words to where `RetrievalData.features("text", ...)` reads them.

    Args:
        data: An opened set.
        words: For each caption, in order, `[words, channels]` with at least one word.

    Raises:
        InputError: Their number is not that of the captions, a caption has no word, or channels differ.
    """
    if len(words) != len(data.captions):
        raise InputError(
            f"vectors of {len(words)} captions", where=data.table, expected=f"{len(data.captions)}, one each"
        )
    write_words(data.table.parent, words)
