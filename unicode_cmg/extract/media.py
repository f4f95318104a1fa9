"""What decoding delivers for one clip, and the clock that its modalities share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

Kind = Literal["audio", "video", "image", "text"]
"""What an encoder reads. A still image is `Frames` with one image; video is `Frames` over time."""

_ROUNDING = 1e-6  # of a step; times such as 0.1 + 0.2 are not exact in binary


@dataclass(frozen=True)
class Grid:
    """The steps of one clip: step i lasts from `i / per_second` to `(i + 1) / per_second` seconds.

    A remainder of half a step or more is a step of its own. A still image has the grid `ONE_STEP`.

    Attributes:
        seconds: Length of the clip, above 0.
        per_second: Steps per second, above 0.

    >>> Grid(seconds=9.98, per_second=1).steps
    10
    """

    seconds: float | int
    per_second: float | int

    @property
    def steps(self) -> int:
        """Number of steps T, at least 1."""
        return max(1, math.floor(self.seconds * self.per_second + 0.5 + _ROUNDING))

    @property
    def starts(self) -> Float64[np.ndarray, " steps"]:
        """Second in which each step starts."""
        return np.arange(self.steps) / self.per_second

    def frame_seconds(self, per_step: int) -> Float64[np.ndarray, " frames"]:
        """The times at which a video is looked at: `per_step` evenly spaced times inside each step."""
        frames = np.arange(self.steps * per_step)
        return (frames + 0.5) / (per_step * self.per_second)

    def step_of(self, seconds: Float64[np.ndarray, " times"]) -> Int64[np.ndarray, " times"]:
        """The step in which each time lies; below 0 or above the last step for times outside the clip."""
        return np.floor(seconds * self.per_second + _ROUNDING).astype(np.int64)


ONE_STEP = Grid(seconds=1.0, per_second=1.0)
"""The grid of a still image, and of a text."""


@dataclass(frozen=True)
class Sound:
    """Decoded audio.

    Attributes:
        samples: Amplitudes, between -1 and 1 in most files.
        rate: Samples per second, as decoded; encoders resample.
        start: Second of the clip at which the first sample is heard; a video's sound may start late.
    """

    samples: Float32[np.ndarray, "channels samples"]
    rate: int
    start: float | int = 0.0

    def covers(self, grid: Grid) -> Bool[np.ndarray, " steps"]:
        """Steps of which at least a half has sound."""
        end = self.start + self.samples.shape[1] / self.rate
        heard = np.minimum(grid.starts + 1 / grid.per_second, end) - np.maximum(grid.starts, self.start)
        covered: Bool[np.ndarray, " steps"] = heard * grid.per_second >= 0.5 - _ROUNDING
        return covered


@dataclass(frozen=True)
class Frames:
    """Decoded images: the frames of a video at the times that an encoder asks for, or one still image.

    Attributes:
        images: RGB, upright.
        seconds: Time in the clip at which each image is shown (the time asked for, not the time stamp of the
            frame in the file, which is earlier); 0 for a still image.
    """

    images: UInt8[np.ndarray, "frames height width 3"]
    seconds: Float64[np.ndarray, " frames"]

    def covers(self, grid: Grid) -> Bool[np.ndarray, " steps"]:
        """Steps that have an image."""
        return np.isin(np.arange(grid.steps), grid.step_of(self.seconds))


@dataclass(frozen=True)
class Text:
    """The text of a clip.

    Attributes:
        sentences: One text or several, such as the captions of a clip; never empty.
    """

    sentences: tuple[str, ...]


Media = Sound | Frames | Text
"""One modality of one clip, decoded."""
