"""Word vectors of captions: `text_feature.h5` and `text_mask.h5`, our extension of the retrieval sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from unicode_cmg.data.layouts._checks import check_finite, check_shape
from unicode_cmg.data.layouts._h5 import array_shape, read_array, read_rows, write_array
from unicode_cmg.data.layouts.ave import KEY
from unicode_cmg.data.layouts.zips import PaddedClips
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file

_WORDS, _MASK = "text_feature.h5", "text_mask.h5"


def words_file(folder: Path) -> Path:
    """Where the vectors lie; the mask is beside them."""
    return folder / _WORDS


def read_words(folder: Path, captions: int, rows: NDArray[np.int64], steps: int | None = None) -> PaddedClips:
    """The word vectors of some captions, cut or padded to `steps` if that is given.

    Raises:
        InputError: There are none, they are damaged or not finite, there are not as many as captions, or a
            caption has no valid word.
    """
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
    check_finite(values, where=file, clip=lambda i: f"caption {rows[i]}")
    width = mask.shape[1] if steps is None else steps
    padding = max(width - mask.shape[1], 0)
    values = np.pad(values * mask[..., None], ((0, 0), (0, padding), (0, 0)))[:, :width]
    return PaddedClips(values, np.pad(mask, ((0, 0), (0, padding)))[:, :width])


def read_words_mask(folder: Path, captions: int) -> Bool[np.ndarray, "captions words"]:
    """Which words are real: all of them, where there is no mask.

    Raises:
        InputError: As `read_words`; features are not read.
    """
    shape = array_shape(words_file(folder), KEY)
    check_shape(shape, (captions, None, None), where=words_file(folder))
    if not (folder / _MASK).is_file():
        return np.ones(shape[:2], dtype=bool)
    mask = read_array(folder / _MASK, KEY).astype(bool)
    check_shape(mask.shape, shape[:2], where=folder / _MASK)
    empty = np.flatnonzero(~mask.any(axis=1))
    if len(empty):
        raise InputError(f"caption {empty[0]} has no valid word", where=folder / _MASK)
    return mask


def write_words(folder: Path, words: Sequence[Float[np.ndarray, "_ _"]]) -> None:
    """Write the vectors `[words, channels]` of each caption, padded to the longest.

    Raises:
        InputError: A caption has no word, or another number of channels than the first.
    """
    for number, vectors in enumerate(words):
        check_shape(vectors.shape, (None, words[0].shape[1]), where=f"the vectors of caption {number}")
    lengths = np.array([len(vectors) for vectors in words])
    values = np.zeros((len(words), int(lengths.max()), words[0].shape[1]), np.float32)
    for row, vectors in zip(values, words, strict=True):
        row[: len(vectors)] = vectors
    with atomic_file(folder / _MASK) as mask, atomic_file(words_file(folder)) as file:
        write_array(mask, KEY, np.arange(values.shape[1]) < lengths[:, None])
        write_array(file, KEY, values)
