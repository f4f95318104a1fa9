"""The colours of a small picture as features, without any weights: `pixels`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

import numpy as np
from pydantic import Field

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.base import Array, Encoder, EncoderConfig, mean_per_step
from unicode_cmg.extract.media import Frames, Grid, Kind, Media


class PixelsConfig(EncoderConfig):
    """Settings of `pixels`, which needs no `model`."""

    side: int = Field(default=8, ge=1, le=64, description="height and width of the small picture")
    frames: int = Field(default=1, ge=1, le=64, description="images of a step of video that are averaged")


class Pixels(Encoder):
    """`pixels`: each step as a picture of 8 x 8 mean colours, `[steps, 8, 8, 3]` between -0.5 and 0.5.

    For first runs, and for media that are as simple as that; a pretrained network tells more.
    """

    name = "pixels"
    kinds = ("video", "image")
    config_class = PixelsConfig

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        super().__init__(kind, settings)
        if settings.model is not None:
            raise InputError(f"'{self.name}' has no model", expected=f"'{self.name}' alone")
        self._values = cast("PixelsConfig", settings)

    @property
    def frames_per_step(self) -> int:
        return self._values.frames

    def prepare(self, media: Media, grid: Grid) -> Array:
        """The small pictures; zeros in a step without an image."""
        frames, side = cast("Frames", media), self._values.side
        picture = import_module("PIL.Image")
        small = [
            np.asarray(picture.fromarray(image).resize((side, side), picture.Resampling.BOX), np.float32)
            for image in frames.images
        ]
        return mean_per_step(
            np.stack(small) / 255 - np.float32(0.5), grid.step_of(frames.seconds), grid.steps
        )

    def encode(self, prepared: Sequence[Any]) -> list[Array]:
        """What `prepare` made."""
        return list(prepared)
