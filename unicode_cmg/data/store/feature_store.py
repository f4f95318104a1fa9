"""The feature store: a folder of memory-mapped arrays with the features of many clips, read by batches.

The layout on disk is described in `docs/reference/files.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.config import Config
from unicode_cmg.data.store.blocks import Features
from unicode_cmg.data.store.from_arrays import write_store
from unicode_cmg.data.store.part import (
    DESCRIPTION,
    INDEX,
    Part,
    common_shapes,
    part_folders,
    repeated_id,
)
from unicode_cmg.data.store.rows import Rows
from unicode_cmg.data.store.words import read_tokens, tokens_file
from unicode_cmg.data.store.writer import PART_BYTES
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import inside, read_json


class _Index(Config):
    format_version: Literal[2]
    source: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """Features of N clips in one or more modalities; they stay on disk until a batch is read.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = f"{folder.name}/store"
    >>> audio, labels = np.zeros((3, 10, 128), np.float32), ["dog", "cat", "dog"]
    >>> FeatureStore.write(path, {"audio": audio}, ["a", "b", "c"], columns={"label": labels})
    >>> store = FeatureStore.open(path)
    >>> store.ids, store.modalities, store.columns["label"]
    (('a', 'b', 'c'), {'audio': (10, 128)}, ('dog', 'cat', 'dog'))
    >>> store.batch([2, 0]).features["audio"].shape
    torch.Size([2, 10, 128])
    >>> folder.cleanup()

    Attributes:
        path: The folder.
        parts: Its parts, in the order of their numbers.
        ids: The N clip ids, in row order; no id occurs twice.
        source: What the writer noted about the origin of the features.
        modalities: Modality name -> `(T, ...)`, the shape of one clip; T is that of the longest.
    """

    path: Path
    parts: tuple[Part, ...]
    ids: tuple[str, ...]
    source: Mapping[str, Any]
    modalities: Mapping[str, tuple[int, ...]]

    @classmethod
    def open(cls, path: str | Path) -> FeatureStore:
        """Open a store: read its descriptions and ids, and the headers of its arrays.

        Arrays are mapped when they are first read.

        Raises:
            InputError: The folder is not a store; a file is missing, empty or truncated; parts have features
                of different shapes; an id occurs twice; there is no clip.
        """
        path = Path(path)
        if not (path / INDEX).is_file():
            what = f"no {INDEX} in this folder" if path.is_dir() else "no such folder"
            fix = f"make one of it: unicode-cmg data import {path} --to STORE" if path.is_dir() else None
            raise InputError(what, where=path, expected="a feature store", fix=fix)
        inside(path, path / INDEX)
        index = _Index.parse(read_json(path / INDEX), where=path / INDEX)
        parts = tuple(Part.open(folder) for _, folder in part_folders(path))
        if not parts:
            what = "there is no part in this store"
            raise InputError(what, where=path, expected="part-00000", fix="its writer has not finished one")
        ids = tuple(clip for part in parts for clip in part.ids)
        if len(set(ids)) != len(ids):
            raise repeated_id(parts)
        return cls(path, parts, ids, index.source or {}, common_shapes(parts))

    @staticmethod
    def write(
        path: str | Path,
        features: Mapping[str, Features],
        ids: Iterable[Any],
        masks: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
        tokens: Mapping[str, Iterable[Sequence[str]]] | None = None,
        columns: Mapping[str, Iterable[Any]] | None = None,
        *,
        part_bytes: int = PART_BYTES,
    ) -> None:
        """Write a store in one atomic step. An existing store at `path` is replaced, any other folder is not.

        `StoreWriter` adds clips to a store instead.

        Args:
            path: The folder to create.
            features: Modality name -> `[N, T, ...]` floats (an array of NumPy or torch, or an HDF5 data set),
                or `[N, C]`, which is one step for each clip; or a list with an array `[T, ...]` for each
                clip, of any T, or None for a clip that lacks the modality; or an iterator of `[n, T, ...]`
                chunks.
            ids: The N clip ids, text or integers.
            masks: Modality name -> `[N, T]`, True where a step is valid; a clip without a valid step lacks
                the modality. Or `[N]`, True for a clip that has it. Without a mask all steps are valid.
            source: A note on the origin of the features, kept in `features.json`.
            tokens: Modality name -> the words of each clip, one for each of its valid steps, or an empty
                string for a step without a word. They are not trained on: they make codes readable.
            columns: Name -> a value for each clip, such as its label, split or group.
            part_bytes: Bytes of features after which another part begins.

        Raises:
            InputError: The arrays, words or columns do not fit each other or the ids; an id occurs twice; a
                value at a valid step is not finite; a clip has no modality; the disk is full.
        """
        write_store(Path(path), features, ids, masks, source, tokens, columns, part_bytes)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{m} {list(shape)}" for m, shape in self.modalities.items())
        return f"FeatureStore({str(self.path)!r}: {len(self)} clips; {shapes})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path, so that a worker process maps the files instead of receiving their content."""
        return (type(self).open, (self.path,))

    @cached_property
    def dtypes(self) -> dict[str, str]:
        """Modality name -> the type of its values on disk."""
        return {m: entry.dtype for part in self.parts for m, entry in part.modalities.items()}

    @cached_property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Name -> the value of each clip, such as its label; an empty string where it is not known.

        Raises:
            InputError: A `clips.csv` is damaged or does not fit the ids.
        """
        names = dict.fromkeys(name for part in self.parts for name in part.columns)
        return {
            name: tuple(
                value for part in self.parts for value in part.columns.get(name, ("",) * len(part.ids))
            )
            for name in names
        }

    def valid_steps(self, modality: str) -> Int64[np.ndarray, " clips"]:
        """The number of valid steps of each clip, 0 where it lacks the modality.

        Raises:
            InputError: There is no such modality, or a mask is damaged.
        """
        self._require(modality)
        return np.concatenate([part.valid(modality).sum(axis=1) for part in self.parts])

    @cached_property
    def present(self) -> dict[str, Bool[np.ndarray, " clips"]]:
        """Modality name -> which clips have it.

        Raises:
            InputError: A mask is damaged.
        """
        return {modality: self.valid_steps(modality) > 0 for modality in self.modalities}

    @property
    def tokenized(self) -> tuple[str, ...]:
        """The modalities with words."""
        return tuple(
            m for m in self.modalities if any(tokens_file(part.path, m).exists() for part in self.parts)
        )

    def tokens(self, modality: str) -> Iterator[tuple[str | None, ...]]:
        """The words of each clip in row order, read from disk one clip at a time.

        Yields:
            T words, None where a step is padding.

        Raises:
            InputError: The words of this modality are missing or damaged, or do not fit its valid steps.
        """
        self._require(modality)
        return self._tokens(modality)

    def _tokens(self, modality: str) -> Iterator[tuple[str | None, ...]]:
        steps, worded = self.modalities[modality][0], modality in self.tokenized
        for part in self.parts:
            file, mask = tokens_file(part.path, modality), part.valid(modality)
            wordless = worded and not file.exists()
            clips = (
                (tuple("" if valid else None for valid in row) for row in mask)
                if wordless
                else read_tokens(file, mask, part.ids)
            )
            for words in clips:
                yield words + (None,) * (steps - len(words))

    def feature_file(self, modality: str) -> Path:
        """The file of the features of a modality, the first one if there are several."""
        return next(p.path for p in self.parts if modality in p.modalities) / f"{modality}.npy"

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 that changes with the descriptions, the content hashes in them, or a file's size."""
        digest = hashlib.sha256((self.path / INDEX).read_bytes())
        for part in self.parts:
            digest.update(part.path.name.encode() + (part.path / DESCRIPTION).read_bytes())
            digest.update("\n".join(part.ids).encode())
            for file in sorted(part.path.glob("*.npy")):
                digest.update(f"{file.name} {file.stat().st_size}".encode())
                with file.open("rb") as stream:
                    digest.update(stream.read(128))  # a .npy header
        return digest.hexdigest()

    def batch(
        self,
        indices: Sequence[int] | NDArray[np.integer[Any]],
        *,
        modalities: Iterable[str] | None = None,
        dtype: torch.dtype | None = torch.float32,
        pinned: bool = False,
    ) -> FeatureBatch:
        """Read clips into memory.

        Args:
            indices: B rows, in any order.
            modalities: Which to read; all of them by default.
            dtype: Of the features returned; None for that of the store.
            pinned: Put them where a GPU copies them from without waiting.

        Returns:
            Features and masks. A clip that lacks a modality has zeros and a mask without a True.

        Raises:
            InputError: A modality is not in the store, a row does not exist, a file is damaged or a value is
                not finite.
        """
        names = tuple(self.modalities) if modalities is None else tuple(modalities)
        for name in names:
            self._require(name)
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise InputError(
                f"rows {rows.min()} to {rows.max()}", where=self.path, expected=f"0 to {len(self) - 1}"
            )
        stored = self.dtypes
        read = {
            name: self._rows.read(name, rows, dtype or getattr(torch, stored[name]), pinned=pinned)
            for name in names
        }
        return FeatureBatch(
            {name: values for name, (values, _) in read.items()},
            {name: mask for name, (_, mask) in read.items()},
        )

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.parts, self.modalities)

    def _require(self, modality: str) -> None:
        if modality not in self.modalities:
            raise unknown("modality", modality, self.modalities, where=self.path)
