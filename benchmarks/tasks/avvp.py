"""AVVP (LLP): say which events are in each second of a clip, with a head trained on another modality.

25 classes as published; any data set in the AVVP layout will do. What is heard and what is seen differ: each
modality has its own clips and its own labels, and heads are judged by those of the target modality.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from benchmarks.evaluation.localization import LocalizeAsReleased, LocalizeEvents
from benchmarks.evaluation.protocols import CHOSEN_BY_AVE, DEPARTURES, HELD_OUT, HeadProtocol, Protocol
from benchmarks.tasks.base import Task, digest, sampled
from unicode_cmg.data.layouts.avvp import STEPS, EventClips, read_avvp
from unicode_cmg.results import HeadConfig

_CHOOSERS = 5  # one val clip in so many chooses the epoch, the others train the head
_ID_LENGTH = 11

_CAUTIONS = (
    *CHOSEN_BY_AVE,
    "P10: of the 1851 published AVVP clips with times 72 are in the published 40K pretraining list.",
)
# as many steps as published, where three times the clips train for half the epochs at a falling rate
EVENTS_HELD_OUT = replace(
    HELD_OUT, head=HeadConfig(epochs=100), objective=LocalizeEvents(), cautions=_CAUTIONS
)
PAPER = HeadProtocol(
    name="paper",
    train="all",
    select="all",
    select_on="target",
    report="all",
    drop_shared=False,
    # of the published 50 those remain that come after the pretrained checkpoint's, about the fifth
    head=HeadConfig(epochs=45, milestones=(10, 20, 30)),
    objective=LocalizeAsReleased("precision"),
    leaks=(
        "P4: heads are trained and judged on the same clips, heard in one and seen in the other;"
        " a modality with itself is judged on its very training rows.",
        "P3: the reported epoch is the one with the best precision on the very rows that are reported,"
        " which uses labels of the target modality.",
        "P5: background counts as a class, and precision and recall are averages over batches of 80 clips.",
    ),
    departures=DEPARTURES,
    cautions=_CAUTIONS,
)
"""As the DCID and TOC papers report: precision, which they call accuracy, at its best epoch."""

PAPER_F1 = replace(
    PAPER,
    name="paper-f1",
    objective=LocalizeAsReleased("f1"),
    leaks=tuple(leak.replace("best precision", "best F1") for leak in PAPER.leaks),
)
"""As the FCID paper reports: F1, at its best epoch."""


@dataclass(frozen=True)
class AVVPTask(Task):
    """An AVVP folder.

    Splits are the lists' "train", "val" and "test", and "all", every row of the event tables. In the
    published tables no clip of the train list has times; there "train" and "val" are parts of the val list,
    divided by a hash of the video's id. A clip that a table lists twice, each time with some of its events,
    is in no split but "all".
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {p.name: p for p in (EVENTS_HELD_OUT, PAPER, PAPER_F1)}

    root: str
    data: EventClips

    @classmethod
    def read(cls, data_root: Path) -> AVVPTask:
        """Open the folder that contains `AVVP/`, or `AVVP/`.

        Raises:
            InputError: As `read_avvp`.
        """
        return cls(
            data_root.resolve().name,
            read_avvp(data_root / "AVVP" if (data_root / "AVVP").is_dir() else data_root),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.data.rows)

    def rows(self, modality: str, split: str) -> Int64[np.ndarray, " rows"]:
        names = [row.filename for row in self.data.rows[modality]]
        if split == "all":
            return np.arange(len(names))
        counts = Counter(names)
        members = [i for i, name in enumerate(names) if counts[name] == 1 and self._split_of(name) == split]
        return np.array(members, dtype=np.int64)

    def names(self, modality: str) -> Sequence[str]:
        return [row.filename for row in self.data.rows[modality]]

    def videos(self, modality: str) -> Sequence[str]:
        return [video_of(row.filename) for row in self.data.rows[modality]]

    def labels(
        self, modality: str, rows: Int64[np.ndarray, " rows"]
    ) -> Float[np.ndarray, "rows time columns"]:
        return np.asarray(self.data.labels[modality][rows])

    def features(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time ..."]:
        return self.data.features(modality, rows)

    def source(self, modality: str) -> Path:
        return self.data.feature_folders[modality]

    def mask(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows time"]:
        return np.ones((len(rows), STEPS), dtype=np.bool_)

    def fingerprint(self) -> str:
        return digest(self._identity())

    def _identity(self) -> Iterator[str | Shaped[np.ndarray, " ..."]]:
        yield "\n".join(self.classes)
        for split, names in sorted(self.data.splits.items()):
            yield "\n".join([split, *sorted(names)])
        for modality, table in sorted(self.data.rows.items()):
            yield "\n".join([modality, *(row.filename for row in table)])
            yield self.data.labels[modality]
            features = self.features(modality, sampled(len(table)))
            yield f"{modality}{features.shape}"
            yield features

    @cached_property
    def _train_has_times(self) -> bool:
        named = self.data.splits["train"]
        return all(any(row.filename in named for row in table) for table in self.data.rows.values())

    def _split_of(self, name: str) -> str | None:
        """The split of a clip; a few published clips are in none."""
        if name in self.data.splits["val"] and not self._train_has_times:
            number = int.from_bytes(hashlib.sha256(video_of(name).encode()).digest()[:8])
            return "val" if number % _CHOOSERS == 0 else "train"
        return next((split for split in ("train", "val", "test") if name in self.data.splits[split]), None)


def video_of(name: str) -> str:
    """The id of the video, by which features are looked up."""
    return name[:_ID_LENGTH]
