"""What an evaluation needs of a task: its clips, and the protocols under which they are evaluated."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.protocols import Protocol
from benchmarks.evaluation.scoring import EncodedTask, Scored, head_scores
from unicode_cmg.data.layouts.zips import STEPS
from unicode_cmg.errors import unknown

Rows = Int64[np.ndarray, " rows"]
Features = Float[np.ndarray, "rows time ..."]
Mask = Bool[np.ndarray, "rows time"]
Part = str | Shaped[np.ndarray, " ..."]

_SAMPLED_ROWS = 16


@dataclass(frozen=True)
class Task(ABC):
    """Labelled clips, seen through several modalities, in splits.

    Each modality numbers its clips on its own: the clips of two modalities may be the same, overlap, or come
    from different data sets. What heads learn and how they are judged is the protocol's `objective`.

    Attributes:
        name: As in `evaluate` and in results.
        protocols: Name -> protocol; "held-out" is among them.
        held_out_splits: Splits that must not share a video.
        root: Name of the folder the clips were read from.
        classes: Names of the classes, in the order of their numbers.
        modalities: Names of the modalities.
    """

    name: ClassVar[str]
    protocols: ClassVar[Mapping[str, Protocol]]
    held_out_splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    root: str
    classes: tuple[str, ...]
    modalities: tuple[str, ...]

    @classmethod
    @abstractmethod
    def read(cls, data_root: Path) -> Task:
        """Open the data.

        Raises:
            InputError: It is damaged or not there.
        """

    def rule(self, protocol: str | Protocol) -> Protocol:
        """The protocol of that name, or the protocol itself.

        Raises:
            InputError: The task has none of this name.
        """
        if isinstance(protocol, Protocol):
            return protocol
        if protocol not in self.protocols:
            raise unknown("protocol", protocol, self.protocols, where=f"task {self.name}")
        return self.protocols[protocol]

    def under(self, rule: Protocol) -> Task:
        """The clips as a protocol takes them; the same under all, unless a task says otherwise."""
        return self

    def directions(self, pairs: tuple[Direction, ...]) -> tuple[Direction, ...]:
        """Those of the wanted directions that make sense; all, unless a task says otherwise.

        Raises:
            InputError: None does.
        """
        return pairs

    @abstractmethod
    def names(self, modality: str) -> Sequence[str]:
        """A name for each row of one modality; the same clip in another modality has the same name."""

    def videos(self, modality: str) -> Sequence[str]:
        """The id of the source video of each row of one modality: its name, if each clip is a video."""
        return self.names(modality)

    @abstractmethod
    def rows(self, modality: str, split: str) -> Rows:
        """Rows of one modality in a split that a protocol names."""

    def shared_rows(self, modality: str) -> Int64[np.ndarray, " shared"]:
        """Rows of one modality whose source video is also the source of a row of another split."""
        splits: dict[str, set[str]] = {}
        for name in self.held_out_splits:
            for other in self.modalities:
                videos = self.videos(other)
                for row in self.rows(other, name):
                    splits.setdefault(videos[row], set()).add(name)
        found = [i for i, video in enumerate(self.videos(modality)) if len(splits.get(video, ())) > 1]
        return np.array(found, dtype=np.int64)

    @abstractmethod
    def labels(self, modality: str, rows: Rows) -> Shaped[np.ndarray, "rows ..."]:
        """What is true of each clip, as the objective of the protocols takes it."""

    @abstractmethod
    def features(self, modality: str, rows: Rows) -> Features:
        """Features of one modality."""

    @abstractmethod
    def source(self, modality: str) -> Path:
        """Where the features of one modality lie: a file, or a folder of files."""

    def mask(self, modality: str, rows: Rows) -> Mask:
        """True where a step is real: in all ten seconds, unless a task says otherwise."""
        return np.ones((len(rows), STEPS), dtype=np.bool_)

    def fingerprint(self) -> str:
        """SHA-256 of `identity`: floats in four bytes, other numbers in eight, little-endian."""
        hashed = hashlib.sha256()
        for part in self.identity():
            if isinstance(part, str):
                hashed.update(part.encode())
            else:
                form = "<f4" if part.dtype.kind == "f" else "<i8"
                hashed.update(np.ascontiguousarray(part, dtype=form).tobytes())
        return hashed.hexdigest()

    @abstractmethod
    def identity(self) -> Iterator[Part]:
        """Texts and arrays that say what the clips are, whatever the folder is called.

        These are ids, labels and splits in full, and `sampled` features.
        """

    def sampled(self, modality: str, first: int = 0, last: int | None = None) -> Iterator[Part]:
        """The features of a few rows, evenly spread, which stand for those of all: features are gigabytes."""
        count = (len(self.names(modality)) if last is None else last) - first
        rows = first + np.unique(np.linspace(0, count - 1, _SAMPLED_ROWS).astype(np.int64))
        features = self.features(modality, rows)
        yield f"{modality}{features.shape}"
        yield features

    def remarks(self) -> tuple[str, ...]:
        """What is to be known of the data, as sentences; nothing, unless a task says otherwise."""
        return ()

    def score(self, encoded: EncodedTask) -> Scored:
        """One row for each direction: by heads on the codes, unless a task judges codes by another rule."""
        return head_scores(encoded)
