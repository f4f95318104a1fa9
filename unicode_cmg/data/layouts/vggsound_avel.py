"""The published VGGSound-AVEL layout, for pretraining: video and audio of each clip, a sentence a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from unicode_cmg.data.categories import vggsound_avel_classes
from unicode_cmg.data.layouts.tables import (
    check_class,
    data_folder,
    read_names,
    read_table,
    set_folder,
)
from unicode_cmg.data.layouts.zips import STEPS, clip_zip, read_clips, read_stored, zip_folder
from unicode_cmg.errors import InputError

SPLITS = ("train", "test", "val")  # the order in which the 40K list is put together
FOLDER = "vggsound40k"
CLIPS, CATEGORIES = "vggsound-avel40k.csv", "VggsoundAVEL40kCategories.txt"
PROMPTS = "vggsoundCategories2Prompts.csv"


class AVELClip(NamedTuple):
    """A line of the list."""

    category: str
    video_id: str
    split: str


@dataclass(frozen=True, eq=False)
class AVELData:
    """Clips for pretraining; features stay on disk until they are read.

    Attributes:
        folder: Where the files are.
        classes: In the order of the published list of categories.
        clips: In file order.
        prompts: Class -> its sentence; empty if there is no table of prompts.
    """

    folder: Path
    classes: tuple[str, ...]
    clips: tuple[AVELClip, ...]
    prompts: Mapping[str, str]

    def rows(self, subset: Literal["24k", "40k"]) -> Int64[np.ndarray, " rows"]:
        """24K is the train split; 40K is all, with train first, then test, then val, as published."""
        splits = np.array([clip.split for clip in self.clips])
        parts = SPLITS[:1] if subset == "24k" else SPLITS
        return np.concatenate([np.flatnonzero(splits == part) for part in parts])

    def labels(self, rows: NDArray[np.int64]) -> Int64[np.ndarray, " rows"]:
        """The class of each clip."""
        return np.array([self.classes.index(self.clips[row].category) for row in rows], dtype=np.int64)

    def features(self, modality: str, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows 10 ..."]:
        """Features of some rows, cut to ten seconds or padded with copies of their last second.

        Raises:
            InputError: A clip has no readable features, or their dimensions differ from the others'.
        """
        return read_clips([self._path(modality, self.clips[row]) for row in rows])

    def chunks(
        self, modality: str, rows: NDArray[np.int64], size: int = 64
    ) -> Iterator[Float32[np.ndarray, "some 10 ..."]]:
        """Features of many rows, some at a time, as `FeatureStore.write` takes them."""
        return (self.features(modality, rows[start : start + size]) for start in range(0, len(rows), size))

    def events(self, rows: NDArray[np.int64]) -> Float32[np.ndarray, "rows 10"]:
        """1 in each second in which the event is both seen and heard, from the zips called "label".

        Raises:
            InputError: A clip has none, or another shape than `[10]` or `[10, 1]`.
        """
        values = []
        for row in rows:
            path = self._path("label", self.clips[row])
            stored = read_stored(path)
            if stored.shape not in ((STEPS,), (STEPS, 1)):
                expected = f"[{STEPS}] or [{STEPS}, 1]"
                raise InputError(f"the array is {list(stored.shape)}", where=path, expected=expected)
            values.append(stored.reshape(STEPS).astype(np.float32))
        return np.stack(values)

    def _path(self, kind: str, clip: AVELClip) -> Path:
        return clip_zip(zip_folder(self.folder, kind), clip.video_id)


def read_vggsound_avel(data_root: str | Path) -> AVELData:
    """Open the folder `vggsound40k` of a data root, or the root itself.

    Without a list of categories the published classes are used; without prompts there is no text.

    Raises:
        InputError: A file is missing or damaged, a clip has an unknown class or split.
    """
    folder = set_folder(Path(data_root), FOLDER)
    tables = data_folder(folder)
    categories = tables / CATEGORIES
    classes = read_names(categories) if categories.is_file() else vggsound_avel_classes()
    table = tables / CLIPS
    clips = tuple(AVELClip(*row) for row in read_table(table, AVELClip._fields))
    # each pair of a class and a split once, by its first clip: there are 40 801 clips
    for clip in {(clip.category, clip.split): clip for clip in reversed(clips)}.values():
        check_clip(clip, classes, where=table)
    return AVELData(folder, classes, clips, read_prompts(tables / PROMPTS, classes))


def check_clip(clip: AVELClip, classes: Sequence[str], *, where: object) -> None:
    """Refuse a clip of an unknown class or split."""
    check_class(clip.category, classes, clip=clip.video_id, where=where)
    if clip.split not in SPLITS:
        what = f"the split '{clip.split}' of '{clip.video_id}'"
        raise InputError(what, where=where, expected=" or ".join(SPLITS))


def read_prompts(path: Path, classes: Sequence[str]) -> dict[str, str]:
    """The sentence of each class; none if there is no such file.

    Raises:
        InputError: A class has no sentence, or two.
    """
    if not path.is_file():
        return {}
    rows = read_table(path, ("label", "prompt"))
    prompts = {row[0]: row[1] for row in rows}
    missing = [name for name in classes if not prompts.get(name, "").strip()]
    if missing or len(prompts) != len(rows):
        what = f"no sentence for '{missing[0]}'" if missing else "two sentences for one class"
        raise InputError(what, where=path, expected="one for each class")
    return prompts
