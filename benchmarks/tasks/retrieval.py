"""Zero-shot retrieval: find what is about the same thing in another modality, without any training.

A row of a modality is an item, or in text one of its captions. Its codes are averaged over time, and what is
asked for is ranked by the cosine similarity of these averages. An item with several captions counts by the
best of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from benchmarks.evaluation.directions import Direction, crossing
from benchmarks.evaluation.protocols import Protocol, by_name
from benchmarks.evaluation.retrieval_scores import retrieval_scores
from benchmarks.evaluation.scoring import EncodedTask, Scored
from benchmarks.tasks.base import Features, Mask, Part, Rows, Task
from unicode_cmg.data.layouts.retrieval import RetrievalData, read_retrieval
from unicode_cmg.data.layouts.zips import PaddedClips
from unicode_cmg.errors import InputError

_RELEASED = "released"


@dataclass(frozen=True, kw_only=True)
class RetrievalProtocol(Protocol):
    """How places are told.

    Attributes:
        released: As the released script finds them, instead of what is expected of tied candidates.
    """

    released: bool = False

    def departures_at(self, level: str | None) -> tuple[str, ...]:
        if not self.released or level in (None, "clip"):
            return self.departures
        return (*self.departures, f"level {level}: the released FCID gives a clip one code for retrieval")


def _protocols(*leaks: str) -> dict[str, Protocol]:
    clean = RetrievalProtocol(name="held-out", report="test", drop_shared=False)
    unstable = (
        "P14: tied candidates, of which there are many, stand in the order in which an unstable sort leaves"
        " them."
    )
    leaky = replace(clean, name="paper", report=_RELEASED, released=True, leaks=(*leaks, unstable))
    return by_name(clean, leaky)


@dataclass(frozen=True)
class RetrievalTask(Task):
    """A retrieval set. Splits are "test", all of it, and "released", what the released script reads of it.

    Attributes:
        layout: Name of the set for `read_retrieval`.
        by_pairs: Whether every caption has a copy of its item to itself, and other captions of it are wrong.
    """

    layout: ClassVar[str]
    protocols: ClassVar[Mapping[str, Protocol]] = _protocols()
    held_out_splits: ClassVar[tuple[str, ...]] = ("test",)

    data: RetrievalData
    by_pairs: bool = False
    _latest: dict[str, tuple[Rows, PaddedClips]] = field(default_factory=dict)

    @classmethod
    def read(cls, data_root: Path) -> RetrievalTask:
        """Open the folder that contains that of the set, or the set's own.

        Raises:
            InputError: As `read_retrieval`.
        """
        data = read_retrieval(cls.layout, data_root)
        return cls(data_root.resolve().name, (), data.modalities, data)

    def directions(self, pairs: tuple[Direction, ...]) -> tuple[Direction, ...]:
        return crossing(pairs)

    def names(self, modality: str) -> Sequence[str]:
        return [self.data.items[item] for item in self.data.item_of(modality)]

    def rows(self, modality: str, split: str) -> Rows:
        return np.arange(len(self.data.item_of(modality)))

    def labels(self, modality: str, rows: Rows) -> Int64[np.ndarray, " rows"]:
        """The item, or pair, that each row is about."""
        return np.arange(len(rows)) if self.by_pairs else self.data.item_of(modality)[rows]

    def features(self, modality: str, rows: Rows) -> Features:
        return self._read(modality, rows).values

    def source(self, modality: str) -> Path:
        return self.data.feature_folders.get(modality, self.data.table.parent)

    def mask(self, modality: str, rows: Rows) -> Mask:
        return self._read(modality, rows).mask

    def score(self, encoded: EncodedTask) -> Scored:
        rule = encoded.rule
        released = isinstance(rule, RetrievalProtocol) and rule.released
        return retrieval_scores(encoded, released=released)

    def _read(self, modality: str, rows: Rows) -> PaddedClips:
        """Features and mask lie in one file and are asked for one after the other: it is read once."""
        known, clips = self._latest.get(modality, (None, None))
        if known is None or clips is None or not np.array_equal(known, rows):
            clips = self.data.features(modality, rows)
            self._latest[modality] = (rows, clips)
        return clips

    def identity(self) -> Iterator[Part]:
        yield "\n".join([self.layout, *self.data.items])
        yield "\n".join(self.data.captions)
        yield self.data.caption_items
        for modality in sorted(self.modalities):
            yield from self.sampled(modality)
            yield self._latest[modality][1].mask  # of the same rows


class FlickrSoundTask(RetrievalTask):
    """500 sounds and pictures of the same scenes as published, a sound to a picture."""

    name = "retrieval-flickr-sound"
    layout = "flickr-sound"


class ValorTask(RetrievalTask):
    """VALOR-32K, a caption to a clip that is seen and heard; without vectors of its words it goes without."""

    name = "retrieval-valor"
    layout = "valor"

    @classmethod
    def read(cls, data_root: Path) -> RetrievalTask:
        task = super().read(data_root)
        try:
            task.data.features("text", np.array([0]))
        except InputError:
            return replace(task, modalities=tuple(name for name in task.modalities if name != "text"))
        return task


class MSVDTask(RetrievalTask):
    """MSVD, many captions to a clip."""

    name = "retrieval-msvd"
    layout = "msvd"


class ClothoTask(RetrievalTask):
    """Clotho, 1045 sounds of any length with five captions each as published."""

    name = "retrieval-clotho"
    layout = "clotho"
    protocols: ClassVar[Mapping[str, Protocol]] = _protocols(
        "P12: as many captions are read as there are sounds, so only the first fifth of the sounds is"
        " searched, 209 of the published 1045."
    )

    def rows(self, modality: str, split: str) -> Rows:
        rows = super().rows(modality, split)
        if split != _RELEASED:
            return rows
        captions = np.arange(min(len(self.data.items), len(self.data.captions)))
        return captions if modality == "text" else np.unique(self.data.caption_items[captions])


class COCOTask(RetrievalTask):
    """MSCOCO, several captions to a picture."""

    name = "retrieval-coco"
    layout = "coco"
    protocols: ClassVar[Mapping[str, Protocol]] = _protocols(
        "P13: every caption is a pair of its own with its picture; other captions of the same picture are"
        " wrong."
    )

    def under(self, rule: Protocol) -> COCOTask:
        return replace(self, by_pairs=rule.report == _RELEASED)

    def rows(self, modality: str, split: str) -> Rows:
        if split == _RELEASED and modality != "text":
            return self.data.caption_items
        return super().rows(modality, split)
