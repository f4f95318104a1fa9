"""UCF101 <-> VGGSound: classify clips of two data sets, one that is only seen and one that is only heard.

14 pairs of classes as published, in lists of 16; any data in this layout will do. No clip has both
modalities: a transfer goes from the video of the one set to the audio of the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped
from numpy.typing import NDArray

from benchmarks.evaluation.objectives import ClassifyClips
from benchmarks.evaluation.protocols import CHOSEN_BY_AVE, DEPARTURES, HELD_OUT, HeadProtocol, Protocol
from benchmarks.tasks.base import Task, digest, sampled
from unicode_cmg.data.layouts.ucf_vgg import STEPS, LabelledClip, LabelledClips, UCFVGGData, read_ucf_vgg
from unicode_cmg.results import HeadConfig

_LAST_TEST_GROUP, _LAST_VAL_GROUP = 7, 10
_CAUTIONS = (
    *CHOSEN_BY_AVE,
    "P9: all 4813 published VGGSound clips are in the published 40K pretraining list, 2894 of them in the"
    " train part that is the 24K one.",
)
SHARED_HELD_OUT = replace(HELD_OUT, cautions=_CAUTIONS)
PAPER = HeadProtocol(
    name="paper",
    train="all",
    select="all",
    select_on="target",
    report="all",
    drop_shared=False,
    # of the published 30 those remain that come after the pretrained checkpoint's, about the fifth
    head=HeadConfig(epochs=25, milestones=(10, 20, 30)),
    objective=ClassifyClips(),
    leaks=(
        "P3: the reported epoch is the one with the best accuracy on the very rows that are reported,"
        " which uses labels of the target modality.",
        "P9: all clips of both sets train and test;"
        " a modality with itself is judged on its very training rows.",
        "P9: pairs of classes that have clips on one side only count too; in the published lists they cap the"
        " accuracy at 95.7 % for video->audio and 93.7 % for audio->video.",
    ),
    departures=DEPARTURES,
    cautions=_CAUTIONS,
)


@dataclass(frozen=True)
class UCFVGGTask(Task):
    """The folders UCF101 and vggsound40k.

    Video has UCF101's groups, each of them shot of the same people in the same place: 1 to 7 are "test", as
    in its first official split, 8 to 10 "val" and the others "train". Audio has the split of its list. These
    three hold clips of the classes that both sides have; "all" holds every clip. A video without a group is
    in "all" only.

    Attributes:
        kept: The pairs of classes that are classes of the task.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {p.name: p for p in (SHARED_HELD_OUT, PAPER)}

    root: str
    data: UCFVGGData
    kept: tuple[int, ...]

    @classmethod
    def read(cls, data_root: Path) -> UCFVGGTask:
        """Open the folder that contains `UCF101/` and `vggsound40k/`.

        Raises:
            InputError: As `read_ucf_vgg`.
        """
        data = read_ucf_vgg(data_root)
        return cls(data_root.resolve().name, data, tuple(range(len(data.classes))))

    def under(self, rule: Protocol) -> UCFVGGTask:
        return self if rule.report == "all" else replace(self, kept=self.data.populated())

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.data.classes[pair][1] for pair in self.kept)

    @property
    def modalities(self) -> tuple[str, ...]:
        return ("video", "audio")

    def names(self, modality: str) -> Sequence[str]:
        return [clip.video_id for clip in self._side(modality).clips]

    def videos(self, modality: str) -> Sequence[str]:
        return self.names(modality)

    def rows(self, modality: str, split: str) -> Int64[np.ndarray, " rows"]:
        side = self._side(modality)
        members = np.isin(side.labels, self.kept)
        if split != "all":
            of_split = _group_split if modality == "video" else _listed_split
            members &= np.array([of_split(clip) == split for clip in side.clips])
        return np.flatnonzero(members).astype(np.int64)

    def labels(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        places: NDArray[np.int64] = np.searchsorted(self.kept, self._side(modality).labels[rows])
        return places

    def features(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time ..."]:
        return self._side(modality).features(rows)

    def source(self, modality: str) -> Path:
        return self._side(modality).feature_folder

    def mask(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows time"]:
        return np.ones((len(rows), STEPS), dtype=np.bool_)

    def fingerprint(self) -> str:
        return digest(self._identity())

    def _identity(self) -> Iterator[str | Shaped[np.ndarray, " ..."]]:
        yield "\n".join("\t".join(pair) for pair in self.data.classes)
        for modality in self.modalities:
            side = self._side(modality)
            yield "\n".join([modality, *("\t".join(clip) for clip in side.clips)])
            yield side.labels
            features = side.features(sampled(len(side.clips)))
            yield f"{modality}{features.shape}"
            yield features

    def _side(self, modality: str) -> LabelledClips:
        return self.data.video if modality == "video" else self.data.audio


def _group_split(clip: LabelledClip) -> str | None:
    """The split of a UCF101 clip by its group, such as "g07"."""
    if not re.fullmatch(r"g\d+", clip.part):
        return None
    group = int(clip.part[1:])
    return "test" if group <= _LAST_TEST_GROUP else "val" if group <= _LAST_VAL_GROUP else "train"


def _listed_split(clip: LabelledClip) -> str:
    """The split that VGGSound's list names."""
    return clip.part
