"""Video models, which read the frames of a step together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.base import Array
from unicode_cmg.extract.encoders.pretrained.encoder import Reading, same_shapes
from unicode_cmg.extract.encoders.pretrained.images import image_processor, square
from unicode_cmg.extract.media import Frames, Grid


class VideoReading(Reading):
    """As many frames of each step as the model reads; where a step has fewer, its last one stands still."""

    @property
    def frames_per_step(self) -> int:
        reads = int(getattr(self.config, "num_frames", None) or self.config.frames_per_clip)
        if self.settings.frames not in (None, reads):
            raise InputError(
                f"frames is {self.settings.frames}", where=self.place, expected=f"{reads}, or null"
            )
        return reads

    def open(self) -> None:
        self._processor, self.frames_per_step  # noqa: B018

    def prepare(self, media: Frames, grid: Grid) -> tuple[list[dict[str, Array]], list[int], int]:
        """What the model reads of each step that has frames, those steps, and the number of steps."""
        rows = grid.step_of(media.seconds)
        steps = [step for step in range(grid.steps) if (rows == step).any()]
        items = []
        for step in steps:
            own = np.flatnonzero(rows == step)[: self.frames_per_step]
            own = np.append(own, np.repeat(own[-1:], self.frames_per_step - len(own)))
            pictures = [Image.fromarray(media.images[i]) for i in own]
            made = np.asarray(self._processor([pictures], return_tensors="np")["pixel_values"])
            items.append({"pixel_values": made.reshape(len(own), *made.shape[-3:])})
        return items, steps, grid.steps

    def encode(self, model: Any, prepared: Sequence[Any]) -> list[Array]:
        """Features `[steps, dim]` or `[steps, grid, grid, dim]`; 0 for a step without a frame."""
        flat = [item for items, _, _ in prepared for item in items]
        found = iter(same_shapes(model, flat, lambda inputs: self._run(model, inputs), most=8))
        return [self._placed([next(found) for _ in items], steps, count) for items, steps, count in prepared]

    def _placed(self, features: list[Array], steps: list[int], count: int) -> Array:
        placed = np.zeros((count, *features[0].shape), np.float32)
        placed[steps] = features
        return placed

    def _run(self, model: Any, inputs: dict[str, Any]) -> Any:
        if self.settings.pool == "pooled":
            return self.pooled(model, inputs)
        hidden = self.hidden(model, inputs).last_hidden_state
        tubes = self._tubes(inputs)
        before = hidden.shape[1] - tubes[0] * tubes[1] * tubes[2]
        if self.settings.grid is not None:
            if before < 0 or self.config.model_type == "timesformer":
                raise InputError("its tokens are not a grid over time", where=self.place, fix="set no grid")
            patches = hidden[:, before:].unflatten(1, tubes).mean(1)
            return square(patches.movedim(-1, 1), self.settings.grid)
        return hidden[:, 0] if self.settings.pool == "first" else hidden[:, max(before, 0) :].mean(1)

    def _tubes(self, inputs: dict[str, Any]) -> tuple[int, int, int]:
        """Frames, rows and columns of the tokens."""
        size = getattr(self.config, "tubelet_size", 1)
        patch = getattr(self.config, "patch_size", None)
        time, height, width = size if isinstance(size, (list, tuple)) else (size, patch, patch)
        shape = inputs["pixel_values"].shape
        return shape[1] // time, shape[3] // height, shape[4] // width

    @cached_property
    def _processor(self) -> Any:
        return image_processor(self.place)
