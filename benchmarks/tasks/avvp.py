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
from jaxtyping import Float

from benchmarks.evaluation.localization import LocalizeAsReleased, LocalizeEvents
from benchmarks.evaluation.protocols import (
    BACKGROUND_COUNTS,
    HELD_OUT,
    PAPER,
    Protocol,
    best_epoch,
    by_name,
)
from benchmarks.tasks.base import Features, Part, Rows, Task
from unicode_cmg.data.layouts.avvp import EventClips, clip_id, read_avvp
from unicode_cmg.results import HeadConfig

_CHOOSERS = 5  # one val clip in so many chooses the epoch, the others train the head

# as many steps as in the released recipe, where three times the clips train for half the epochs at a falling
# learning rate
EVENTS_HELD_OUT = replace(HELD_OUT, head=HeadConfig(epochs=100), objective=LocalizeEvents())
# of the 50 released epochs those remain that come after the pretrained checkpoint's, about the fifth
EVENTS_PAPER = replace(PAPER, head=HeadConfig(epochs=45, milestones=(10, 20, 30)))


def _paper(name: str, metric: str) -> Protocol:
    return replace(
        EVENTS_PAPER,
        name=name,
        objective=LocalizeAsReleased(metric),
        leaks=(
            "P4: heads are trained and judged on the same clips, heard in one and seen in the other;"
            " a modality with itself is judged on its very training rows.",
            best_epoch(metric),
            BACKGROUND_COUNTS,
        ),
    )


@dataclass(frozen=True)
class AVVPTask(Task):
    """An AVVP folder.

    Splits are the lists' "train", "val" and "test", and "all", every row of the event tables. In the
    published tables no clip of the train list has times; there "train" and "val" are parts of the val list,
    divided by a hash of the video's id. A clip that a table lists twice, each time with some of its events,
    is in no split but "all".

    Of the two `paper` protocols the first is that of the DCID and TOC papers, which report precision and call
    it accuracy, the second that of the FCID paper, which reports F1; both at its best epoch.
    """

    name: ClassVar[str] = "avvp"
    protocols: ClassVar[Mapping[str, Protocol]] = by_name(
        EVENTS_HELD_OUT,
        _paper("paper", "precision"),
        _paper("paper-f1", "f1"),
        cautions=(
            "P10: of the 1851 published AVVP clips with times 72 are in the published 40K pretraining list.",
        ),
    )

    data: EventClips

    @classmethod
    def read(cls, data_root: Path) -> AVVPTask:
        """Open the folder that contains `AVVP/`, or `AVVP/`.

        Raises:
            InputError: As `read_avvp`.
        """
        data = read_avvp(data_root / "AVVP" if (data_root / "AVVP").is_dir() else data_root)
        return cls(data_root.resolve().name, data.classes, tuple(data.rows), data)

    def rows(self, modality: str, split: str) -> Rows:
        names = self.names(modality)
        if split == "all":
            return np.arange(len(names))
        counts = Counter(names)
        members = [i for i, name in enumerate(names) if counts[name] == 1 and self._split_of(name) == split]
        return np.array(members, dtype=np.int64)

    def names(self, modality: str) -> Sequence[str]:
        return [row.filename for row in self.data.rows[modality]]

    def videos(self, modality: str) -> Sequence[str]:
        return [clip_id(name) for name in self.names(modality)]

    def labels(self, modality: str, rows: Rows) -> Float[np.ndarray, "rows time columns"]:
        return np.asarray(self.data.labels[modality][rows])

    def features(self, modality: str, rows: Rows) -> Features:
        return self.data.features(modality, rows)

    def source(self, modality: str) -> Path:
        return self.data.feature_folders[modality]

    def identity(self) -> Iterator[Part]:
        yield "\n".join(self.classes)
        for split, names in sorted(self.data.splits.items()):
            yield "\n".join([split, *sorted(names)])
        for modality in sorted(self.modalities):
            yield "\n".join([modality, *self.names(modality)])
            yield self.data.labels[modality]
            yield from self.sampled(modality)

    @cached_property
    def _train_has_times(self) -> bool:
        named = self.data.splits["train"]
        return all(any(row.filename in named for row in table) for table in self.data.rows.values())

    def _split_of(self, name: str) -> str | None:
        """The split of a clip; a few published clips are in none."""
        if name in self.data.splits["val"] and not self._train_has_times:
            number = int.from_bytes(hashlib.sha256(clip_id(name).encode()).digest()[:8])
            return "val" if number % _CHOOSERS == 0 else "train"
        return next((split for split in ("train", "val", "test") if name in self.data.splits[split]), None)
