"""AVE -> AVVP: heads learn the events of each second of AVE clips and are judged on AVVP clips.

The 12 classes that both published sets have; any data in the AVE, AVVP and AVE_AVVP layouts will do. A head
meets other clips, other recordings and, in a transfer, another modality than it learned from; a modality with
itself tells how much of what is lost is due to the data alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int64

from benchmarks.evaluation.localization import LocalizeAsReleased
from benchmarks.evaluation.protocols import BACKGROUND_COUNTS, Protocol, best_epoch, by_name
from benchmarks.tasks.avvp import EVENTS_HELD_OUT, EVENTS_PAPER
from benchmarks.tasks.base import Features, Part, Rows, Task
from unicode_cmg.data.layouts.ave import FEATURES
from unicode_cmg.data.layouts.ave_avvp import AVEAVVPData, read_ave_avvp
from unicode_cmg.data.layouts.avvp import clip_id
from unicode_cmg.data.layouts.zips import STEPS
from unicode_cmg.errors import InputError


@dataclass(frozen=True)
class AVEAVVPTask(Task):
    """The folders AVE, AVVP and AVE_AVVP.

    Rows of a modality are those of AVE, followed by those of AVVP's event table. Splits are AVE's "train"
    and "val", AVVP's "avvp val" and "test", and the whole of what is listed, "ave" and "avvp". A clip that
    an AVVP table lists twice, each time with some of its events, is in "avvp" only.
    """

    name: ClassVar[str] = "ave-avvp"
    protocols: ClassVar[Mapping[str, Protocol]] = by_name(
        replace(EVENTS_HELD_OUT, validation="avvp val"),
        replace(
            EVENTS_PAPER,
            train="ave",
            select="avvp",
            report="avvp",
            objective=LocalizeAsReleased("f1", clips_loss_parameters=True),
            leaks=(
                "P1: heads are trained on all three splits of AVE.",
                best_epoch("f1"),
                "P4: numbers are from the clips of both the val and the test list of AVVP.",
                BACKGROUND_COUNTS,
                "P10: 56 of the published test clips are also AVE clips that train the heads.",
            ),
        ),
        cautions=(
            "P10: of the 4097 published AVE videos 342 are in the published 40K pretraining list, and 72 of"
            " the 1851 published AVVP clips with times.",
        ),
    )
    held_out_splits: ClassVar[tuple[str, ...]] = ("train", "val", "avvp val", "test")

    data: AVEAVVPData

    @classmethod
    def read(cls, data_root: Path) -> AVEAVVPTask:
        """Open the folder that contains `AVE/`, `AVVP/` and `AVE_AVVP/`.

        Raises:
            InputError: As `read_ave_avvp`; or AVE's clips do not have ten seconds as AVVP's have.
        """
        data = read_ave_avvp(data_root)
        if data.ave_labels.shape[1] != STEPS:
            raise InputError(
                f"AVE clips of {data.ave_labels.shape[1]} steps",
                where=data_root,
                expected=f"{STEPS}, as in AVVP",
            )
        common = tuple(name for name in data.avvp.rows if name in data.ave.modalities)
        return cls(data_root.resolve().name, data.classes, common, data)

    def names(self, modality: str) -> Sequence[str]:
        return [*(f"AVE row {row}" for row in range(self._ave_rows)), *self._filenames(modality)]

    def videos(self, modality: str) -> Sequence[str]:
        return [*self.data.ave.video_ids, *map(clip_id, self._filenames(modality))]

    def rows(self, modality: str, split: str) -> Rows:
        if split == "ave":
            return self.data.order
        if split in ("train", "val"):
            return self.data.split_order(split)
        names = self._filenames(modality)
        if split == "avvp":
            return self._ave_rows + np.arange(len(names))
        counts, listed = Counter(names), self.data.avvp.splits[split.removeprefix("avvp ")]
        members = [i for i, name in enumerate(names) if counts[name] == 1 and name in listed]
        return self._ave_rows + np.array(members, dtype=np.int64)

    def labels(self, modality: str, rows: Rows) -> Float[np.ndarray, "rows time columns"]:
        ave, avvp = self._divided(rows)
        return np.concatenate([self.data.ave_labels[ave], self.data.avvp.labels[modality][avvp]])

    def features(self, modality: str, rows: Rows) -> Features:
        ave, avvp = self._divided(rows)
        parts = [
            read(modality, part)
            for read, part in ((self.data.ave.features, ave), (self.data.avvp.features, avvp))
            if len(part)
        ]
        if len({part.shape[1:] for part in parts}) > 1:
            raise InputError(
                f"{modality} of AVE is {list(parts[0].shape[1:])} a clip, of AVVP {list(parts[1].shape[1:])}",
                where=self.root,
                fix="extract both with the same network",
            )
        return np.concatenate(parts)

    def source(self, modality: str) -> Path:
        """AVE's; AVVP's have the same shape, see `features`."""
        return self.data.ave.folder / FEATURES[modality]

    def identity(self) -> Iterator[Part]:
        yield "\n".join(self.classes)
        yield self.data.order
        yield self.data.ave_labels
        for split, order in sorted(self.data.ave.order.items()):
            yield split
            yield order
        for split, names in sorted(self.data.avvp.splits.items()):
            yield "\n".join([split, *sorted(names)])
        for modality in sorted(self.modalities):
            yield "\n".join([modality, *self.videos(modality), *self._filenames(modality)])
            yield self.data.avvp.labels[modality]
            yield from self.sampled(modality, last=self._ave_rows)
            yield from self.sampled(modality, first=self._ave_rows)

    @property
    def _ave_rows(self) -> int:
        return len(self.data.ave_labels)

    def _filenames(self, modality: str) -> list[str]:
        return [row.filename for row in self.data.avvp.rows[modality]]

    def _divided(self, rows: Rows) -> tuple[Int64[np.ndarray, " some"], Int64[np.ndarray, " others"]]:
        """Row numbers of AVE, and of AVVP's table; the former come first in every list of rows."""
        inside = rows < self._ave_rows
        if inside.any() and not inside[: inside.sum()].all():
            raise ValueError("rows of AVE after rows of AVVP")
        return rows[inside], rows[~inside] - self._ave_rows
