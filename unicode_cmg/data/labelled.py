"""Clips with labels: a split of the AVE layout, read as a feature store is, and the classes of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.data.layouts.ave import ANNOTATIONS, FEATURES, AVEData, read_ave
from unicode_cmg.data.layouts.avvp import EventClips, read_avvp
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import unknown

UNKNOWN = -1
"""The class of a clip without a label."""
_FEWEST = 3  # clips that a usual class has at least


@dataclass(frozen=True, eq=False)
class LabelledClips:
    """The clips of one split, ready to be encoded as those of a feature store are.

    Attributes:
        data: The data set.
        split: Name of the split.
        rows: `[N]` rows of the data set, ascending.
    """

    data: AVEData
    split: str
    rows: Int64[np.ndarray, " clips"]

    @classmethod
    def open(cls, data: AVEData | str | Path, split: str = "test") -> LabelledClips:
        """The clips of a split.

        Args:
            data: Data in the AVE layout, its folder, or the folder that has it as `AVE/`.
            split: "train", "val" or "test".

        Raises:
            InputError: The data is damaged, or there is no such split.
        """
        if not isinstance(data, AVEData):
            data = read_ave(Path(data) / "AVE" if (Path(data) / "AVE").is_dir() else Path(data))
        if split not in data.order:
            raise unknown("split", split, data.order, where=data.folder)
        return cls(data, split, np.sort(data.order[split]))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def path(self) -> Path:
        """The folder of the data set."""
        return self.data.folder

    @property
    def ids(self) -> tuple[str, ...]:
        """Video id of each clip."""
        return tuple(self.data.annotations[row].video_id for row in self.rows)

    @property
    def modalities(self) -> dict[str, tuple[int, ...]]:
        """Modality name -> `(T, ...)`, the shape of one clip."""
        return dict(self.data.modalities)

    @property
    def tokenized(self) -> tuple[str, ...]:
        """No modality has words, because the layout has word vectors only."""
        return ()

    def tokens(self, modality: str) -> Iterator[tuple[str | None, ...]]:
        """No words."""
        return iter(())

    @property
    def fingerprint(self) -> str:
        """A sha256 that changes with the split, the ids, the labels or the size of a feature file."""
        digest = hashlib.sha256("\n".join([self.split, *self.data.classes, *self.ids]).encode())
        digest.update(self.rows.tobytes() + self.data.labels.tobytes())
        for modality in sorted(self.modalities):
            digest.update(f"{modality} {self.feature_file(modality).stat().st_size}".encode())
        return digest.hexdigest()

    def feature_file(self, modality: str) -> Path:
        """The file of the features of a modality."""
        return self.path / FEATURES[modality]

    def batch(
        self,
        indices: Sequence[int] | NDArray[np.integer[Any]],
        *,
        modalities: Iterable[str] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> FeatureBatch:
        """Read clips into memory; `indices` are ascending numbers below N.

        Raises:
            InputError: A modality is not in the data, or a value is not finite.
        """
        rows, names = self.rows[np.asarray(indices)], modalities or self.modalities
        return FeatureBatch(
            {m: torch.from_numpy(self.data.features(m, rows)).to(dtype) for m in names},
            {m: torch.from_numpy(self.data.mask(m, rows)) for m in names},
        )


Clips: TypeAlias = FeatureStore | LabelledClips
"""What a model can encode."""


@dataclass(frozen=True, eq=False)
class StepClasses:
    """What the steps of clips are about.

    Attributes:
        split: Name of the split; empty for a feature store.
        names: The C classes.
        rows: `[N]` row of each clip in its data.
        clips: `[N]` class of each clip, `UNKNOWN` without a label.
        seconds: `[N, seconds]` class of each second, C for background; None if all are of the clip's class.
    """

    split: str
    names: tuple[str, ...]
    rows: Int64[np.ndarray, " clips"]
    clips: Int64[np.ndarray, " clips"]
    seconds: Int64[np.ndarray, "clips seconds"] | None = None

    @property
    def columns(self) -> int:
        """C, or with background C + 1."""
        return len(self.names) + (self.seconds is not None)

    def of(
        self, modality: str, indices: Int64[np.ndarray, " batch"], steps: int
    ) -> Int64[np.ndarray, "batch steps"]:
        """The class of each step. Words, and codes of whole clips, have the class of their clip."""
        if self.seconds is None or modality == "text" or steps != self.seconds.shape[1]:
            return np.repeat(self.clips[indices][:, None], steps, axis=1)
        found: Int64[np.ndarray, "batch steps"] = self.seconds[indices]
        return found


def classes_of(clips: Clips) -> StepClasses | None:
    """The classes of a split, or those in the column `label` of a store.

    None if there are none, or if hardly two clips share one, as with captions.
    """
    if isinstance(clips, LabelledClips):
        seconds = clips.data.segment_labels(clips.rows).argmax(axis=-1).astype(np.int64)
        of_clips = clips.data.clip_labels(clips.rows)
        return StepClasses(clips.split, clips.data.classes, clips.rows, of_clips, seconds)
    labels = np.array([label.strip() for label in clips.columns.get("label", ())])
    names, numbers, sizes = np.unique(labels[labels != ""], return_inverse=True, return_counts=True)
    if len(names) < 2 or np.median(sizes) < _FEWEST:
        return None
    found = np.full(len(clips), UNKNOWN, dtype=np.int64)
    found[labels != ""] = numbers
    return StepClasses("", tuple(names.tolist()), np.arange(len(clips)), found)


def open_events(path: Path) -> EventClips | None:
    """The clips of events in the AVVP layout that lie beside those of the AVE layout, as `AVVP/`, if any.

    Raises:
        InputError: They are damaged.
    """
    return read_avvp(path / "AVVP") if (path / "AVVP").is_dir() else None


def open_clips(path: Path, split: str) -> Clips:
    """A feature store, or a split of a data set in the AVE layout.

    Raises:
        InputError: There is neither; one of its files is damaged; or there is no such split.
    """
    labelled = any((path / folder / ANNOTATIONS).is_file() for folder in ("", "data", "AVE/data"))
    return LabelledClips.open(path, split) if labelled else FeatureStore.open(path)
