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
from jaxtyping import Int64
from numpy.typing import NDArray

from benchmarks.evaluation.protocols import HELD_OUT, PAPER, Protocol, best_epoch, by_name
from benchmarks.tasks.base import Features, Part, Rows, Task
from unicode_cmg.data.layouts.ucf_vgg import UCFVGGClip, UCFVGGData, UCFVGGSide, read_ucf_vgg

_LAST_TEST_GROUP, _LAST_VAL_GROUP = 7, 10


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

    name: ClassVar[str] = "ucf-vgg"
    # of the 30 released epochs PAPER has those that come after the pretrained checkpoint's, about the fifth
    protocols: ClassVar[Mapping[str, Protocol]] = by_name(
        HELD_OUT,
        replace(
            PAPER,
            leaks=(
                best_epoch("accuracy"),
                "P9: all clips of both sets train and test;"
                " a modality with itself is judged on its very training rows.",
                "P9: pairs of classes that have clips on one side only count too; in the published lists they"
                " cap the accuracy at 95.7 % for video->audio and 93.7 % for audio->video.",
            ),
        ),
        cautions=(
            "P9: all 4813 published VGGSound clips are in the published 40K pretraining list, 2894 of them in"
            " the train part that is the 24K one.",
        ),
    )

    data: UCFVGGData
    kept: tuple[int, ...]

    @classmethod
    def read(cls, data_root: Path) -> UCFVGGTask:
        """Open the folder that contains `UCF101/` and `vggsound40k/`.

        Raises:
            InputError: As `read_ucf_vgg`.
        """
        data = read_ucf_vgg(data_root)
        pairs = tuple(range(len(data.classes)))
        return cls(data_root.resolve().name, _heard(data, pairs), ("video", "audio"), data, pairs)

    def under(self, rule: Protocol) -> UCFVGGTask:
        if rule.report == "all":
            return self
        kept = self.data.populated()
        return replace(self, classes=_heard(self.data, kept), kept=kept)

    def names(self, modality: str) -> Sequence[str]:
        return [clip.video_id for clip in self._side(modality).clips]

    def rows(self, modality: str, split: str) -> Rows:
        side = self._side(modality)
        members = np.isin(side.labels, self.kept)
        if split != "all":
            members &= np.array([_split_of(clip, modality) == split for clip in side.clips])
        return np.flatnonzero(members).astype(np.int64)

    def labels(self, modality: str, rows: Rows) -> Int64[np.ndarray, " rows"]:
        places: NDArray[np.int64] = np.searchsorted(self.kept, self._side(modality).labels[rows])
        return places

    def features(self, modality: str, rows: Rows) -> Features:
        return self._side(modality).features(rows)

    def source(self, modality: str) -> Path:
        return self._side(modality).feature_folder

    def identity(self) -> Iterator[Part]:
        yield "\n".join("\t".join(pair) for pair in self.data.classes)
        for modality in self.modalities:
            side = self._side(modality)
            yield "\n".join([modality, *("\t".join(clip) for clip in side.clips)])
            yield side.labels
            yield from self.sampled(modality)

    def _side(self, modality: str) -> UCFVGGSide:
        return self.data.video if modality == "video" else self.data.audio


def _heard(data: UCFVGGData, pairs: Sequence[int]) -> tuple[str, ...]:
    """Names of classes, as VGGSound has them."""
    return tuple(data.classes[pair][1] for pair in pairs)


def _split_of(clip: UCFVGGClip, modality: str) -> str | None:
    """The split of a UCF101 clip by its group, such as "g07", or the one that VGGSound's list names."""
    if modality == "audio":
        return clip.part
    if not re.fullmatch(r"g\d+", clip.part):
        return None
    group = int(clip.part[1:])
    return "test" if group <= _LAST_TEST_GROUP else "val" if group <= _LAST_VAL_GROUP else "train"
