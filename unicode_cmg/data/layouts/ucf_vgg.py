"""The published UCF101 <-> VGGSound layout: video of the one, audio of the other, and pairs of classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from unicode_cmg.data.layouts._tables import data_folder, read_names, read_table, write_table
from unicode_cmg.data.layouts.zips import read_clips, write_clip
from unicode_cmg.errors import InputError

STEPS = 10
_UCF_CLASSES, _VGG_CLASSES = "UCF101sameVGGSound.txt", "VGGSoundsameUCF101.txt"
_UCF_CLIPS, _VGG_CLIPS = "ucf2vggsound.csv", "vggsound2ucf.csv"
_UCF_FEATURES, _VGG_FEATURES = Path("UCF101/feature/video/zip"), Path("vggsound40k/feature/audio/zip")


class LabelledClip(NamedTuple):
    """A clip; `part` keeps train and test apart: UCF101's group ("g07", "" if unnamed) or a split."""

    video_id: str
    category: str
    part: str


@dataclass(frozen=True, eq=False)
class LabelledClips:
    """One side: UCF101's video, or VGGSound's audio.

    Attributes:
        feature_folder: The folder of its zips.
        clips: In file order.
        labels: `[clips]`, the index of the pair of classes.
    """

    feature_folder: Path
    clips: tuple[LabelledClip, ...]
    labels: Int64[np.ndarray, " clips"]

    def features(self, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows 10 ..."]:
        """Features of some rows, cut or padded with their last step to ten.

        Raises:
            InputError: A clip has no readable features, or their dimensions differ from the others'.
        """
        return read_clips([self.feature_folder / f"{self.clips[i].video_id}.zip" for i in rows], STEPS)


@dataclass(frozen=True, eq=False)
class UCFVGGData:
    """Both sides; `classes` are pairs of a UCF101 and a VGGSound class."""

    classes: tuple[tuple[str, str], ...]
    video: LabelledClips
    audio: LabelledClips

    def populated(self) -> tuple[int, ...]:
        """Pairs with clips on both sides; the published lists have two without."""
        return tuple(sorted({*self.video.labels.tolist()} & {*self.audio.labels.tolist()}))


def read_ucf_vgg(data_root: str | Path) -> UCFVGGData:
    """Open the folders `UCF101` (with the lists) and `vggsound40k` of a data root.

    Raises:
        InputError: A file is missing, the lists differ in length, or a clip's class is not in its list.
    """
    root = Path(data_root)
    tables = data_folder(root / "UCF101")
    ucf, vgg = read_names(tables / _UCF_CLASSES), read_names(tables / _VGG_CLASSES)
    if len(ucf) != len(vgg):
        raise InputError(
            f"{len(vgg)} classes", where=tables / _VGG_CLASSES, expected=f"{len(ucf)}, one a pair"
        )
    return UCFVGGData(
        tuple(zip(ucf, vgg, strict=True)),
        _read_clips(tables / _UCF_CLIPS, ucf, root / _UCF_FEATURES, None),
        _read_clips(tables / _VGG_CLIPS, vgg, root / _VGG_FEATURES, "split"),
    )


def _read_clips(path: Path, classes: tuple[str, ...], folder: Path, part: str | None) -> LabelledClips:
    clips = []
    for category, video_id, *rest in read_table(path, ("category", "video_id", *([part] if part else []))):
        if category not in classes:
            raise InputError(
                f"the class '{category}' of '{video_id}'", where=path, expected="a class of the list"
            )
        group = re.search(r"_(g\d+)_", video_id)
        clips.append(LabelledClip(video_id, category, rest[0] if rest else group[1] if group else ""))
    return LabelledClips(folder, tuple(clips), np.array([classes.index(clip.category) for clip in clips]))


def write_ucf_vgg(
    data_root: Path,
    classes: Sequence[tuple[str, str]],
    video: Mapping[LabelledClip, NDArray[np.floating]],
    audio: Mapping[LabelledClip, NDArray[np.floating]],
) -> None:
    """Write both folders; `video` and `audio` map each clip to its features `[T, ...]`."""
    tables = data_root / "UCF101" / "data"
    tables.mkdir(parents=True)
    (tables / _UCF_CLASSES).write_text("\n".join(ucf for ucf, _ in classes), encoding="utf-8")
    (tables / _VGG_CLASSES).write_text("\n".join(vgg for _, vgg in classes), encoding="utf-8")
    write_table(tables / _UCF_CLIPS, ("category", "video_id"), [(c.category, c.video_id) for c in video], ",")
    rows = [(c.category, c.video_id, c.part) for c in audio]
    write_table(tables / _VGG_CLIPS, ("category", "video_id", "split"), rows, ",")
    for folder, clips in ((_UCF_FEATURES, video), (_VGG_FEATURES, audio)):
        (data_root / folder).mkdir(parents=True)
        for clip, values in clips.items():
            write_clip(data_root / folder / f"{clip.video_id}.zip", values)
