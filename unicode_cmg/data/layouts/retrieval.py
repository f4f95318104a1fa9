"""The published retrieval sets: items with captions, or items with both audio and video.

Features are one zip for each item, of any length. Captions are published as sentences; the vectors of their
words, `text_feature.h5` and `text_mask.h5` beside the list, are our extension: row i belongs to caption i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from unicode_cmg.data.layouts.arrays import (
    array_shape,
    check_finite,
    check_rows,
    check_shape,
    read_mask,
    read_rows,
    write_array,
)
from unicode_cmg.data.layouts.ave import FEATURES, KEY, TEXT_MASK
from unicode_cmg.data.layouts.retrieval_lists import LAYOUTS, Pair
from unicode_cmg.data.layouts.zips import PaddedClips, clip_zip, read_padded, write_clips
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import atomic_file


@dataclass(frozen=True, eq=False)
class RetrievalData:
    """Items and their captions; features stay on disk until they are read.

    Each modality numbers its rows on its own: a row of "text" is a caption, a row of another modality an
    item. `item_of` tells which rows belong together.

    Attributes:
        name: "coco", "clotho", "flickr-sound", "msvd" or "valor".
        table: The list that was read.
        items: The id of each item, in the order of first appearance in the list.
        captions: The sentences in the order of the list; none in a set without captions.
        caption_items: `[captions]`, the row of the item that each caption describes.
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
        """The modalities with features, and "text" if there are captions."""
        return (*self.feature_folders, *(["text"] if self.captions else []))

    def item_of(self, modality: str) -> Int64[np.ndarray, " rows"]:
        """The item that each row of a modality belongs to.

        Raises:
            InputError: The set has no such modality.
        """
        if modality not in self.modalities:
            raise unknown("modality", modality, self.modalities, where=self.table)
        return self.caption_items if modality == "text" else np.arange(len(self.items))

    def features(self, modality: str, rows: NDArray[np.int64], steps: int | None = None) -> PaddedClips:
        """Features of some rows, padded with zeros to equal length, and which steps are real.

        Args:
            modality: One of `modalities`.
            rows: Rows of it, in any order.
            steps: T of the result; longer rows are cut. By default T is the length of the longest of these
                items, or of the longest of all captions, and nothing is cut.

        Raises:
            InputError: There is no such modality or row, an item has no readable features, their dimensions
                differ, or the word vectors of the captions are missing or damaged.
        """
        check_rows(rows, len(self.item_of(modality)), where=f"{self.table}: {modality}")
        if modality == "text":
            return _read_words(self.table.parent, len(self.captions), rows, steps)
        folder = self.feature_folders[modality]
        return read_padded([clip_zip(folder, self.items[row]) for row in rows], steps)


def read_retrieval(name: str, data_root: str | Path) -> RetrievalData:
    """Open a retrieval set.

    An item with several captions is one item, also in the sets whose released readers treat every line as a
    pair of its own (MSCOCO, MSVD); `caption_items` leads back to the pairs.

    Args:
        name: "coco", "clotho", "flickr-sound", "msvd" or "valor".
        data_root: The folder of the set, or the folder that contains it.

    Raises:
        InputError: There is no such set; its list is missing, damaged or has an empty caption.
    """
    if name not in LAYOUTS:
        raise unknown("retrieval set", name, LAYOUTS)
    layout = LAYOUTS[name]
    folder = layout.folder(Path(data_root))
    table = layout.list_in(folder)
    pairs = layout.read(table)
    items = {item: row for row, item in enumerate(dict.fromkeys(item for item, _ in pairs))}
    captioned = [(item, caption) for item, caption in pairs if caption is not None]
    for number, (item, caption) in enumerate(captioned):
        if not caption.strip():
            raise InputError(f"caption {number}, of '{item}', is empty", where=table)
    return RetrievalData(
        name,
        table,
        tuple(items),
        tuple(caption for _, caption in captioned),
        np.array([items[item] for item, _ in captioned], dtype=np.int64),
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
        data_root: The folder in which to create the folder of the set.
        features: Modality -> item -> `[T, ...]`.
        pairs: `(item, caption)` in order, five captions an item for Clotho; `(item, None)` without captions.
    """
    layout = LAYOUTS[name]
    root = data_root / layout.folders[0]
    table = root / layout.lists[0]
    table.parent.mkdir(parents=True)
    layout.write(table, pairs)
    for modality, clips in features.items():
        write_clips(root / layout.features[modality][0], clips)


def write_caption_words(data: RetrievalData, words: Sequence[Float[np.ndarray, "_ _"]]) -> None:
    """Write the word vectors of each caption, for `RetrievalData.features("text", ...)` to read.

    Args:
        data: An opened set.
        words: For each caption, in order, `[words, channels]` with at least one word.

    Raises:
        InputError: Their number is not that of the captions, a caption has no word, or channels differ.
    """
    if len(words) != len(data.captions):
        expected = f"{len(data.captions)}, one for each caption"
        raise InputError(f"vectors of {len(words)} captions", where=data.table, expected=expected)
    for number, vectors in enumerate(words):
        check_shape(vectors.shape, (None, words[0].shape[1]), where=f"the vectors of caption {number}")
    lengths = np.array([len(vectors) for vectors in words])
    values = np.zeros((len(words), int(lengths.max()), words[0].shape[1]), np.float32)
    for row, vectors in zip(values, words, strict=True):
        row[: len(vectors)] = vectors
    folder = data.table.parent
    with atomic_file(folder / TEXT_MASK) as mask, atomic_file(words_file(folder)) as file:
        write_array(mask, KEY, np.arange(values.shape[1]) < lengths[:, None])
        write_array(file, KEY, values)


def words_file(folder: Path) -> Path:
    """The word vectors of the captions whose list is in `folder`; their mask is beside them."""
    return folder / FEATURES["text"]


def _read_words(folder: Path, captions: int, rows: NDArray[np.int64], steps: int | None) -> PaddedClips:
    """The word vectors of some captions, cut or padded to `steps` if that is given."""
    file = words_file(folder)
    if not file.is_file():
        raise InputError(
            "no word vectors of the captions",
            where=file,
            expected=f"'{KEY}' [{captions}, words, channels], row i for caption i",
            fix="write them with unicode_cmg.data.layouts.write_caption_words",
        )
    mask = read_words_mask(folder, captions)[rows]
    values = read_rows(file, KEY, rows)
    check_finite(values, where=file, name=lambda i: f"caption {rows[i]}")
    width = mask.shape[1] if steps is None else steps
    padding = max(width - mask.shape[1], 0)
    values = np.pad(values * mask[..., None], ((0, 0), (0, padding), (0, 0)))[:, :width]
    return PaddedClips(values, np.pad(mask, ((0, 0), (0, padding)))[:, :width])


def read_words_mask(folder: Path, captions: int) -> Bool[np.ndarray, "captions words"]:
    """Which words are real: all of them, if there is no mask.

    Raises:
        InputError: The vectors or the mask are damaged, there are more or fewer than captions, or a caption
            has no valid word.
    """
    _, words, _ = array_shape(words_file(folder), KEY, (captions, None, None))
    return read_mask(folder / TEXT_MASK, KEY, (captions, words), unit="caption")
