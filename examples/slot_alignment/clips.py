"""Clips to classify: a picture and a spectrogram each, of the embedded digits or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unicode_cmg.data.digits import CLASSES
from unicode_cmg.data.digits.clips import DigitClips
from unicode_cmg.errors import InputError

FRAMES, COEFFICIENTS = 8, 13


@dataclass(frozen=True, eq=False)
class LabelledClips:
    """Clips and their classes.

    Attributes:
        inputs: "audio" and "visual" -> what the encoders read, such as `[N, channels, height, width]`.
        labels: `[N]` classes.
    """

    inputs: Mapping[str, Float[Tensor, "clips ..."]]
    labels: Int64[Tensor, " clips"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> LabelledClips:
        return LabelledClips({side: x[rows] for side, x in self.inputs.items()}, self.labels[rows])

    def some(self, rows: Tensor | slice, device: torch.device) -> LabelledClips:
        """Some of the clips on a device, as floats."""
        inputs = {side: x[rows].to(device).float() for side, x in self.inputs.items()}
        return LabelledClips(inputs, self.labels[rows].to(device))


@dataclass(frozen=True, eq=False)
class Splits:
    """Clips by use; no recording and no drawing is in two of them.

    Attributes:
        unimodal: What small teachers learn from, one side at a time; None if there are no such clips.
        train: What the classifier learns from.
        held_out: What it is tested on.
    """

    unimodal: LabelledClips | None
    train: LabelledClips
    held_out: LabelledClips


def digit_clips(drawn: Mapping[str, DigitClips], count: int) -> Splits:
    """Ten-second clips in which a digit is spoken and written for four seconds or more.

    As in OGM there is one picture of a clip, the frame in its middle, `[16, 7, 7]`, which shows nothing in
    one clip of twelve, and the spectrogram of all of it, `[1, 13 coefficients, 80 frames]`.

    Args:
        drawn: The clips of `build_digits`; "pretrain" is for teachers, "train" and "test" for the classifier.
        count: Clips to train on.
    """
    splits = {}
    for name in ("pretrain", "train", "test"):
        clips = drawn[name]
        steps = clips.audio.shape[1]
        video = clips.video[:, steps // 2].transpose(0, 3, 1, 2)
        audio = clips.audio.reshape(len(clips), steps * FRAMES, COEFFICIENTS).transpose(0, 2, 1)[:, None]
        labels = clips.labels[..., : len(CLASSES)].sum(1).argmax(-1)
        inputs = {"audio": torch.from_numpy(audio.copy()), "visual": torch.from_numpy(video.copy())}
        splits[name] = LabelledClips(inputs, torch.from_numpy(labels))
    return Splits(splits["pretrain"], splits["train"][:count], splits["test"])


def clips_of_file(path: Path) -> Splits:
    """Clips of an .npz file.

    It holds `audio [N, ...]` and `visual [N, ...]`, `labels [N]`, and `held_out [N]`, booleans.

    Raises:
        InputError: The file cannot be read, lacks an array, or they do not fit.
    """
    names = ("audio", "visual", "labels", "held_out")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"cannot read it ({error})", where=path, expected="an .npz of " + ", ".join(names)
        ) from None
    if len({len(array) for array in arrays.values()}) > 1 or arrays["held_out"].dtype != np.bool_:
        raise InputError(
            "arrays that do not fit", where=path, expected="equal lengths, and 'held_out' booleans"
        )
    inputs = {side: torch.from_numpy(arrays[side]) for side in ("audio", "visual")}
    every = LabelledClips(inputs, torch.from_numpy(arrays["labels"].astype(np.int64)))
    held_out = torch.from_numpy(arrays["held_out"])
    return Splits(None, every[~held_out], every[held_out])
