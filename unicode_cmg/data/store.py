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
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.config import Config
from unicode_cmg.data._store_files import INDEX, open_array, read_tokens, tokens_file, write_store
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import read_json, read_text


class _Modality(Config):
    shape: tuple[PositiveInt, ...] = Field(min_length=2, description="[T, ...] of one clip.")
    dtype: Literal["float16", "float32", "float64"]


class _Index(Config):
    format_version: Literal[1]
    clips: PositiveInt
    modalities: dict[str, _Modality] = Field(min_length=1)
    content: dict[str, str] = Field({}, description="File name -> sha256 of its bytes when it was written.")
    source: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """Features of N clips in one or more modalities; they stay on disk until a batch is read.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = f"{folder.name}/store"
    >>> FeatureStore.write(path, {"audio": np.zeros((3, 10, 128), np.float32)}, ["a", "b", "c"])
    >>> store = FeatureStore.open(path)
    >>> store.ids, store.modalities
    (('a', 'b', 'c'), {'audio': (10, 128)})
    >>> store.batch([2, 0]).features["audio"].shape
    torch.Size([2, 10, 128])
    >>> folder.cleanup()

    Attributes:
        path: The folder.
        ids: The N clip ids, in row order.
        source: What the writer noted about the origin of the features.
    """

    path: Path
    ids: tuple[str, ...]
    source: Mapping[str, Any]
    _arrays: Mapping[str, NDArray[np.floating[Any]]]
    _masks: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def open(cls, path: str | Path) -> FeatureStore:
        """Open a store and check its files against `features.json`; no feature is read yet.

        Raises:
            InputError: The folder is not a store; a file is missing, empty or truncated, or its shape or
                dtype is not the declared one; there is no clip or no step; a mask leaves a clip without any.
        """
        path = Path(path)
        if not (path / INDEX).is_file():
            what = f"no {INDEX} in this folder" if path.is_dir() else "no such folder"
            raise InputError(what, where=path, expected="a feature store")
        index = _Index.parse(read_json(path / INDEX), where=path / INDEX)
        ids = tuple(read_text(path / "ids.txt").splitlines())
        if len(ids) != index.clips:
            raise InputError(
                f"{len(ids)} clip ids", where=path / "ids.txt", expected=f"{index.clips}, one a line"
            )
        arrays, masks = {}, {}
        for name, entry in index.modalities.items():
            shape = (index.clips, *entry.shape)
            arrays[name] = open_array(path / f"{name}.npy", shape, entry.dtype)
            mask_file = path / f"{name}.mask.npy"
            if mask_file.exists():
                masks[name] = open_array(mask_file, shape[:2], "bool")
                empty = np.flatnonzero(~masks[name].any(axis=1))
                if len(empty):
                    raise InputError(
                        f"no valid step in {len(empty)} clips, the first is '{ids[empty[0]]}'",
                        where=mask_file,
                        fix="drop these clips",
                    )
        return cls(path, ids, index.source or {}, arrays, masks)

    @staticmethod
    def write(
        path: str | Path,
        features: Mapping[str, NDArray[Any] | Iterable[NDArray[Any]]],
        ids: Sequence[str],
        masks: Mapping[str, NDArray[np.bool_]] | None = None,
        source: Mapping[str, Any] | None = None,
        tokens: Mapping[str, Iterable[Sequence[str]]] | None = None,
    ) -> None:
        """Write a store in one atomic step. An existing store at `path` is replaced, any other folder is not.

        Args:
            path: The folder to create.
            features: Modality name -> `[N, T, ...]` floats, or an iterable of `[n, T, ...]` chunks of it.
            ids: The N clip ids.
            masks: Modality name -> `[N, T]`, True where a step is valid. All steps of other modalities are.
            source: A note on the origin of the features, kept in `features.json`.
            tokens: Modality name -> the words of each clip, one for each of its valid steps, or an empty
                string for a step without a word. They are not trained on: they make codes readable.

        Raises:
            InputError: The arrays or words do not fit each other or the ids, or are not finite; the disk is
                full.
        """
        write_store(Path(path), features, ids, masks or {}, source, tokens or {})

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path, so that a worker process maps the files instead of receiving their content."""
        return (type(self).open, (self.path,))

    @property
    def modalities(self) -> dict[str, tuple[int, ...]]:
        """Modality name -> `(T, ...)`, the shape of one clip."""
        return {name: array.shape[1:] for name, array in self._arrays.items()}

    @property
    def tokenized(self) -> tuple[str, ...]:
        """The modalities with words."""
        return tuple(name for name in self._arrays if tokens_file(self.path, name).exists())

    def tokens(self, modality: str) -> Iterator[tuple[str | None, ...]]:
        """The words of each clip in row order, read from disk one clip at a time.

        Yields:
            T words, None where a step is padding.

        Raises:
            InputError: The words of this modality are missing or damaged, or do not fit its valid steps.
        """
        self._require(modality)
        return read_tokens(tokens_file(self.path, modality), self._mask(modality), self.ids)

    @property
    def present(self) -> dict[str, Bool[np.ndarray, " clips"]]:
        """Modality -> `[N]`, True where a clip has a valid step of it."""
        return {name: np.asarray(self._mask(name).any(axis=1)) for name in self._arrays}

    def feature_file(self, modality: str) -> Path:
        """The file of the features of a modality."""
        return self.path / f"{modality}.npy"

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 that changes with the description, the content hashes in it, the ids or a file's size."""
        digest = hashlib.sha256((self.path / INDEX).read_bytes())
        for file in sorted(self.path.glob("*.npy")):
            digest.update(f"{file.name} {file.stat().st_size}".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(128))  # a .npy header
        digest.update((self.path / "ids.txt").read_bytes())
        return digest.hexdigest()

    def batch(
        self,
        indices: Sequence[int] | NDArray[np.integer[Any]],
        *,
        modalities: Iterable[str] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> FeatureBatch:
        """Read clips into memory.

        Args:
            indices: B rows, in any order.
            modalities: Which to read; all of them by default.
            dtype: Of the features returned.

        Raises:
            InputError: A modality is not in the store, a row does not exist, or a value is not finite.
        """
        names = tuple(self._arrays) if modalities is None else tuple(modalities)
        for name in names:
            self._require(name)
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise InputError(
                f"rows {rows.min()} to {rows.max()}", where=self.path, expected=f"0 to {len(self) - 1}"
            )
        return FeatureBatch(
            {name: self._read(name, rows, dtype) for name in names},
            {name: torch.from_numpy(self._mask(name)[rows]) for name in names},
        )

    def _require(self, modality: str) -> None:
        if modality not in self._arrays:
            raise unknown("modality", modality, self._arrays, where=self.path)

    def _mask(self, name: str) -> Bool[np.ndarray, "clips time"]:
        steps = self._arrays[name].shape[1]
        return self._masks[name] if name in self._masks else np.broadcast_to(True, (len(self), steps))

    def _read(
        self, name: str, rows: NDArray[np.int64], dtype: torch.dtype
    ) -> Float[torch.Tensor, "batch time ..."]:
        values = torch.from_numpy(self._arrays[name][rows]).to(dtype)
        # one pass in the common case: a sum is finite unless a term is not, or (rarely) it overflows
        if not torch.isfinite(values.sum(dtype=torch.float32)):
            bad = (~torch.isfinite(values)).flatten(1).sum(1)
            if bad.any():
                first = int(bad.nonzero()[0, 0])
                raise InputError(
                    f"{int(bad[first])} values of modality '{name}' are NaN or infinite in clip "
                    f"'{self.ids[rows[first]]}'",
                    where=self.feature_file(name),
                    expected=f"finite {str(dtype).removeprefix('torch.')} values",
                    fix="extract this clip again or drop it",
                )
        return values
