"""AVE: classify the event of a ten-second clip, with a head trained on another modality of it.

28 classes, 3339/402/402 clips as published; any data set in the AVE layout will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from benchmarks.evaluation.protocols import HELD_OUT, PAPER, Protocol, best_epoch, by_name
from benchmarks.tasks.base import Features, Mask, Part, Rows, Task
from unicode_cmg.data.layouts.ave import FEATURES, AVEData, read_ave


@dataclass(frozen=True)
class AVETask(Task):
    """An AVE folder; the rows of all modalities are the same clips."""

    name: ClassVar[str] = "ave"
    protocols: ClassVar[Mapping[str, Protocol]] = by_name(
        HELD_OUT,
        replace(
            PAPER,
            train="train",
            select="train",
            report="train",
            leaks=(
                "P1: accuracy is measured on the training clips, in the other modality;"
                " validation and test clips are never read.",
                best_epoch("accuracy"),
            ),
        ),
        cautions=(
            "P10: of the 4097 published AVE videos 342 are in the published 40K pretraining list,"
            " 215 in the 24K one.",
        ),
    )

    data: AVEData

    @classmethod
    def read(cls, data_root: Path) -> AVETask:
        """Open the folder that contains `AVE/`, or `AVE/`, or its `data/`.

        Raises:
            InputError: As `read_ave`.
        """
        data = read_ave(data_root / "AVE" if (data_root / "AVE").is_dir() else data_root)
        return cls(data_root.resolve().name, data.classes, tuple(data.modalities), data)

    def names(self, modality: str) -> Sequence[str]:
        return [f"{row}" for row in range(len(self.data.annotations))]

    def videos(self, modality: str) -> Sequence[str]:
        return self.data.video_ids

    def rows(self, modality: str, split: str) -> Rows:
        return self.data.order[split]

    def labels(self, modality: str, rows: Rows) -> Int64[np.ndarray, " rows"]:
        return self.data.clip_labels(rows)

    def features(self, modality: str, rows: Rows) -> Features:
        return self.data.features(modality, rows)

    def source(self, modality: str) -> Path:
        return self.data.folder / FEATURES[modality]

    def mask(self, modality: str, rows: Rows) -> Mask:
        return self.data.mask(modality, rows)

    def identity(self) -> Iterator[Part]:
        yield "\n".join([*self.classes, *self.data.video_ids])
        yield self.data.labels
        for split, order in sorted(self.data.order.items()):
            yield split
            yield order
        for modality in sorted(self.modalities):
            yield from self.sampled(modality)
