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
from jaxtyping import Bool, Float, Int64, Shaped

from benchmarks.evaluation.localization import LocalizeAsReleased, LocalizeEvents
from benchmarks.evaluation.protocols import CHOSEN_BY_AVE, DEPARTURES, HELD_OUT, HeadProtocol, Protocol
from benchmarks.tasks.avvp import video_of
from benchmarks.tasks.base import Task, digest, sampled
from unicode_cmg.data.layouts.ave import FEATURES
from unicode_cmg.data.layouts.ave_avvp import AVEAVVPData, read_ave_avvp
from unicode_cmg.data.layouts.avvp import STEPS
from unicode_cmg.errors import InputError
from unicode_cmg.results import HeadConfig

_CAUTIONS = (
    *CHOSEN_BY_AVE,
    "P10: of the 4097 published AVE videos 342 are in the published 40K pretraining list, and 72 of the 1851"
    " published AVVP clips with times.",
)
ACROSS_HELD_OUT = replace(
    HELD_OUT,
    validation="avvp val",
    head=HeadConfig(epochs=100),
    objective=LocalizeEvents(),
    cautions=_CAUTIONS,
)
PAPER = HeadProtocol(
    name="paper",
    train="ave",
    select="avvp",
    select_on="target",
    report="avvp",
    drop_shared=False,
    # of the published 50 those remain that come after the pretrained checkpoint's, about the fifth
    head=HeadConfig(epochs=45, milestones=(10, 20, 30)),
    objective=LocalizeAsReleased("f1", clips_loss_parameters=True),
    leaks=(
        "P1: heads are trained on all three splits of AVE.",
        "P3: the reported epoch is the one with the best F1 on the very rows that are reported,"
        " which uses labels of the target modality.",
        "P4: numbers are from the clips of both the val and the test list of AVVP.",
        "P5: background counts as a class, and precision and recall are averages over batches of 80 clips.",
        "P10: 56 of the published test clips are also AVE clips that train the heads.",
    ),
    departures=DEPARTURES,
    cautions=_CAUTIONS,
)


@dataclass(frozen=True)
class AVEAVVPTask(Task):
    """The folders AVE, AVVP and AVE_AVVP.

    Rows of a modality are those of AVE, followed by those of AVVP's event table. Splits are AVE's "train"
    and "val", AVVP's "avvp val" and "test", and the whole of what is listed, "ave" and "avvp". A clip that
    an AVVP table lists twice, each time with some of its events, is in "avvp" only.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {p.name: p for p in (ACROSS_HELD_OUT, PAPER)}
    held_out_splits: ClassVar[tuple[str, ...]] = ("train", "val", "avvp val", "test")

    root: str
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
        return cls(data_root.resolve().name, data)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(name for name in self.data.avvp.rows if name in self.data.ave.modalities)

    def names(self, modality: str) -> Sequence[str]:
        of_ave = [f"AVE row {row}" for row in range(self._ave_rows)]
        return of_ave + [row.filename for row in self.data.avvp.rows[modality]]

    def videos(self, modality: str) -> Sequence[str]:
        of_avvp = [video_of(row.filename) for row in self.data.avvp.rows[modality]]
        return [*self.data.ave.video_ids, *of_avvp]

    def rows(self, modality: str, split: str) -> Int64[np.ndarray, " rows"]:
        if split == "ave":
            return self.data.order
        if split in ("train", "val"):
            return self.data.split_order(split)
        names = [row.filename for row in self.data.avvp.rows[modality]]
        if split == "avvp":
            return self._ave_rows + np.arange(len(names))
        counts, listed = Counter(names), self.data.avvp.splits[split.removeprefix("avvp ")]
        members = [i for i, name in enumerate(names) if counts[name] == 1 and name in listed]
        return self._ave_rows + np.array(members, dtype=np.int64)

    def labels(
        self, modality: str, rows: Int64[np.ndarray, " rows"]
    ) -> Float[np.ndarray, "rows time columns"]:
        ave, avvp = self._divided(rows)
        return np.concatenate([self.data.ave_labels[ave], self.data.avvp.labels[modality][avvp]])

    def features(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time ..."]:
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

    def mask(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows time"]:
        return np.ones((len(rows), STEPS), dtype=np.bool_)

    def fingerprint(self) -> str:
        return digest(self._identity())

    def _identity(self) -> Iterator[str | Shaped[np.ndarray, " ..."]]:
        yield "\n".join(self.classes)
        yield self.data.order
        yield self.data.ave_labels
        for split, order in sorted(self.data.ave.order.items()):
            yield split
            yield order
        for split, names in sorted(self.data.avvp.splits.items()):
            yield "\n".join([split, *sorted(names)])
        for modality in sorted(self.modalities):
            videos = self.videos(modality)
            yield "\n".join([modality, *videos, *self.names(modality)[self._ave_rows :]])
            yield self.data.avvp.labels[modality]
            for first, last in ((0, self._ave_rows), (self._ave_rows, len(videos))):
                features = self.features(modality, first + sampled(last - first))
                yield f"{modality}{features.shape}"
                yield features

    @property
    def _ave_rows(self) -> int:
        return len(self.data.ave_labels)

    def _divided(
        self, rows: Int64[np.ndarray, " rows"]
    ) -> tuple[Int64[np.ndarray, " some"], Int64[np.ndarray, " others"]]:
        """Row numbers of AVE, and of AVVP's table; the former come first in every list of rows."""
        inside = rows < self._ave_rows
        if inside.any() and not inside[: inside.sum()].all():
            raise ValueError("rows of AVE after rows of AVVP")
        return rows[inside], rows[~inside] - self._ave_rows
