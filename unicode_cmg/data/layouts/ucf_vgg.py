"""The published UCF101 <-> VGGSound layout: video of UCF101, audio of VGGSound, and pairs of classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from unicode_cmg.data.layouts.tables import check_class, data_folder, read_names, read_table, write_table
from unicode_cmg.data.layouts.zips import clip_zip, read_clips, write_clips, zip_folder
from unicode_cmg.errors import InputError

UCF_CLASSES, VGG_CLASSES = "UCF101sameVGGSound.txt", "VGGSoundsameUCF101.txt"
UCF_CLIPS, VGG_CLIPS = "ucf2vggsound", "vggsound2ucf"
UCF_FEATURES = zip_folder(Path("UCF101"), "video")
VGG_FEATURES = zip_folder(Path("vggsound40k"), "audio")


class UCFVGGClip(NamedTuple):
    """A clip; `part` keeps train and test apart: UCF101's group ("g07", "" if unnamed) or a split."""

    video_id: str
    category: str
    part: str


@dataclass(frozen=True, eq=False)
class UCFVGGSide:
    """One side: UCF101's video, or VGGSound's audio.

    Attributes:
        feature_folder: The folder of its zips.
        clips: In file order.
        labels: `[clips]`, the index of the pair of classes.
    """

    feature_folder: Path
    clips: tuple[UCFVGGClip, ...]
    labels: Int64[np.ndarray, " clips"]

    def features(self, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows 10 ..."]:
        """Features of some rows, cut to ten steps or padded with copies of their last step.

        Raises:
            InputError: A clip has no readable features, or their dimensions differ from the others'.
        """
        return read_clips([clip_zip(self.feature_folder, self.clips[i].video_id) for i in rows])


@dataclass(frozen=True, eq=False)
class UCFVGGData:
    """Both sides; `classes` are pairs of a UCF101 and a VGGSound class."""

    classes: tuple[tuple[str, str], ...]
    video: UCFVGGSide
    audio: UCFVGGSide

    def populated(self) -> tuple[int, ...]:
        """Pairs with clips on both sides; the published lists have two without."""
        return tuple(sorted({*self.video.labels.tolist()} & {*self.audio.labels.tolist()}))


def read_ucf_vgg(data_root: str | Path, subset: int | None = None) -> UCFVGGData:
    """Open the folders `UCF101` (with the lists) and `vggsound40k` of a data root.

    Args:
        data_root: The folder of both.
        subset: Read this number of first pairs only, as the published lists `*_8` and `*_12` do.

    Raises:
        InputError: A file is missing, the lists differ in length, or a clip's class is not in its list.
    """
    root = Path(data_root)
    tables = data_folder(root / "UCF101")
    ucf, vgg = read_class_list(tables / UCF_CLASSES), read_class_list(tables / VGG_CLASSES)
    if len(ucf) != len(vgg):
        expected = f"{len(ucf)}, one for each pair"
        raise InputError(f"{len(vgg)} classes", where=tables / VGG_CLASSES, expected=expected)
    if subset is not None and not 0 < subset <= len(ucf):
        raise InputError(f"the first {subset} pairs", where=tables / UCF_CLASSES, expected=f"1 to {len(ucf)}")
    video = read_labelled(tables / f"{UCF_CLIPS}.csv", ucf, None)
    audio = read_labelled(tables / f"{VGG_CLIPS}.csv", vgg, "split")
    return UCFVGGData(
        tuple(zip(ucf, vgg, strict=True))[:subset],
        _side(video, ucf[:subset], root / UCF_FEATURES),
        _side(audio, vgg[:subset], root / VGG_FEATURES),
    )


def _side(clips: Sequence[UCFVGGClip], classes: tuple[str, ...], folder: Path) -> UCFVGGSide:
    clips = tuple(clip for clip in clips if clip.category in classes)
    labels = np.array([classes.index(clip.category) for clip in clips], dtype=np.int64)
    return UCFVGGSide(folder, clips, labels)


def read_class_list(path: Path) -> tuple[str, ...]:
    """One class a line, without what follows a tab: line 11 of the published UCF101 list has a second word.

    Raises:
        InputError: The file is missing or empty, or a name occurs twice.
    """
    return tuple(name.split("\t")[0].strip() for name in read_names(path))


def read_labelled(path: Path, classes: tuple[str, ...], part: str | None) -> tuple[UCFVGGClip, ...]:
    """The clips of a list; `part` is the column that keeps train and test apart, or None for UCF101's groups.

    Raises:
        InputError: The file is missing or damaged, or a class is not among `classes`.
    """
    clips = []
    for category, video_id, *rest in read_table(path, ("category", "video_id", *([part] if part else []))):
        check_class(category, classes, clip=video_id, where=path)
        group = re.search(r"_(g\d+)_", video_id)
        clips.append(UCFVGGClip(video_id, category, rest[0] if rest else group[1] if group else ""))
    return tuple(clips)


def write_ucf_vgg(
    data_root: Path,
    classes: Sequence[tuple[str, str]],
    video: Mapping[UCFVGGClip, NDArray[np.floating]],
    audio: Mapping[UCFVGGClip, NDArray[np.floating]],
) -> None:
    """Write both folders; `video` and `audio` map each clip to its features `[T, ...]`."""
    tables = data_root / "UCF101" / "data"
    tables.mkdir(parents=True)
    (tables / UCF_CLASSES).write_text("\n".join(ucf for ucf, _ in classes), encoding="utf-8")
    (tables / VGG_CLASSES).write_text("\n".join(vgg for _, vgg in classes), encoding="utf-8")
    rows: list[tuple[str, ...]] = [(c.category, c.video_id) for c in video]
    write_table(tables / f"{UCF_CLIPS}.csv", ("category", "video_id"), rows)
    rows = [(c.category, c.video_id, c.part) for c in audio]
    write_table(tables / f"{VGG_CLIPS}.csv", ("category", "video_id", "split"), rows)
    for folder, clips in ((UCF_FEATURES, video), (VGG_FEATURES, audio)):
        write_clips(data_root / folder, {clip.video_id: values for clip, values in clips.items()})
