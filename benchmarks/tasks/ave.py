"""AVE: classify the event of a ten-second clip, with a head trained on another modality of it.

28 classes, 3339/402/402 clips as published; any data set in the AVE layout will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from benchmarks.evaluation.objectives import ClassifyClips
from benchmarks.evaluation.protocols import CHOSEN_BY_AVE, DEPARTURES, HELD_OUT, HeadProtocol, Protocol
from benchmarks.tasks.base import Task, digest, sampled
from unicode_cmg.data.layouts.ave import FEATURES, AVEData, read_ave
from unicode_cmg.results import HeadConfig

_CAUTIONS = (
    *CHOSEN_BY_AVE,
    "P10: of the 4097 published AVE videos 342 are in the published 40K pretraining list,"
    " 215 in the 24K one.",
)
CLIPS_HELD_OUT = replace(HELD_OUT, cautions=_CAUTIONS)
PAPER = HeadProtocol(
    name="paper",
    train="train",
    select="train",
    select_on="target",
    report="train",
    drop_shared=False,
    head=HeadConfig(epochs=25, milestones=(10, 20, 30)),
    objective=ClassifyClips(),
    leaks=(
        "P1: accuracy is measured on the training clips, in the other modality;"
        " validation and test clips are never read.",
        "P3: the reported epoch is the one with the best accuracy on the very rows that are reported,"
        " which uses labels of the target modality.",
    ),
    departures=DEPARTURES,
    cautions=_CAUTIONS,
)


@dataclass(frozen=True)
class AVETask(Task):
    """An AVE folder; the rows of all modalities are the same clips."""

    protocols: ClassVar[Mapping[str, Protocol]] = {p.name: p for p in (CLIPS_HELD_OUT, PAPER)}

    root: str
    data: AVEData

    @classmethod
    def read(cls, data_root: Path) -> AVETask:
        """Open the folder that contains `AVE/`, or `AVE/`, or its `data/`.

        Raises:
            InputError: As `read_ave`.
        """
        return cls(
            data_root.resolve().name,
            read_ave(data_root / "AVE" if (data_root / "AVE").is_dir() else data_root),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.data.modalities)

    def rows(self, modality: str, split: str) -> Int64[np.ndarray, " rows"]:
        return self.data.order[split]

    def names(self, modality: str) -> Sequence[str]:
        return [f"{row}" for row in range(len(self.data.annotations))]

    def videos(self, modality: str) -> Sequence[str]:
        return self.data.video_ids

    def labels(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        return self.data.clip_labels(rows)

    def features(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time ..."]:
        return self.data.features(modality, rows)

    def source(self, modality: str) -> Path:
        return self.data.folder / FEATURES[modality]

    def mask(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows time"]:
        return self.data.mask(modality, rows)

    def fingerprint(self) -> str:
        return digest(self._identity())

    def _identity(self) -> Iterator[str | Shaped[np.ndarray, " ..."]]:
        yield "\n".join([*self.classes, *self.data.video_ids])
        yield self.data.labels
        for split, order in sorted(self.data.order.items()):
            yield split
            yield order
        for modality in sorted(self.modalities):
            features = self.features(modality, sampled(len(self.data.annotations)))
            yield f"{modality}{features.shape}"
            yield features
