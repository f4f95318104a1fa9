"""Images, and frames of a video one by one, through image models: a vector or a grid of patches per step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image
from torch.nn import functional as F

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.base import Array, mean_per_step
from unicode_cmg.extract.encoders.pretrained.encoder import Reading, same_shapes
from unicode_cmg.extract.encoders.pretrained.loading import fetch, transformers
from unicode_cmg.extract.media import Frames, Grid


class ImageReading(Reading):
    """Each image on its own; the images of a step are averaged."""

    @property
    def frames_per_step(self) -> int:
        return self.settings.frames or 1

    def open(self) -> None:
        self._processor  # noqa: B018

    def prepare(self, media: Frames, grid: Grid) -> tuple[list[dict[str, Array]], Array, int]:
        """What the model reads of each image, the step of each, and the number of steps."""
        pictures = [Image.fromarray(image) for image in media.images]
        made = self._processor(images=pictures, return_tensors="np") if pictures else {}
        items = [{key: np.asarray(made[key][i]) for key in made} for i in range(len(pictures))]
        return items, grid.step_of(media.seconds), grid.steps

    def encode(self, model: Any, prepared: Sequence[Any]) -> list[Array]:
        """Features `[steps, dim]` or `[steps, grid, grid, dim]`; 0 for a step without an image."""
        flat = [item for items, _, _ in prepared for item in items]
        found = iter(same_shapes(model, flat, lambda inputs: self._run(model, inputs), most=32))
        return [mean_per_step(np.stack([next(found) for _ in items]), *rest) for items, *rest in prepared]

    def _run(self, model: Any, inputs: dict[str, Any]) -> Any:
        pool = self.pool(model)
        if self.settings.grid is None and pool == "pooled":
            return self.pooled(model, inputs)
        hidden = self.hidden(model, inputs).last_hidden_state
        if self.settings.grid is not None:
            return square(self.maps(hidden, inputs), self.settings.grid)
        if hidden.ndim == 4:  # a convolutional network
            return hidden.mean((2, 3))
        before = hidden.shape[1] - self._patches(hidden, inputs)
        first = pool == "first" or (pool is None and before > 0)
        return hidden[:, 0] if first else hidden[:, before:].mean(1)

    def maps(self, hidden: Any, inputs: dict[str, Any]) -> Any:
        """The patches `[images, dim, rows, columns]` of a hidden state.

        Raises:
            InputError: Its tokens are not those of a grid.
        """
        if hidden.ndim == 4:
            return hidden
        rows, columns = self._shape(hidden, inputs)
        patches = hidden[:, hidden.shape[1] - rows * columns :]
        return patches.transpose(1, 2).unflatten(2, (rows, columns))

    def _patches(self, hidden: Any, inputs: dict[str, Any]) -> int:
        rows, columns = self._shape(hidden, inputs)
        return rows * columns

    def _shape(self, hidden: Any, inputs: dict[str, Any]) -> tuple[int, int]:
        """Rows and columns of the patches: by the size of a patch, else of a square."""
        config = getattr(self.config, "vision_config", self.config)
        patch = getattr(config, "patch_size", None)
        height, width = inputs["pixel_values"].shape[-2:]
        tokens = hidden.shape[1]
        if isinstance(patch, int) and 0 < (height // patch) * (width // patch) <= tokens:
            return height // patch, width // patch
        side = int(tokens**0.5)
        if side * side != tokens:
            raise InputError(
                f"its {tokens} tokens are not a grid", where=self.place, fix="set pool and no grid"
            )
        return side, side

    @cached_property
    def _processor(self) -> Any:
        return image_processor(self.place)


def square(maps: Any, side: int) -> Any:
    """Maps `[..., dim, rows, columns]` averaged to `[..., side, side, dim]`."""
    return F.adaptive_avg_pool2d(maps, side).movedim(-3, -1)


def image_processor(place: str) -> Any:
    """The image processor of a model, which works with Pillow.

    DINOv3's own one needs torchvision; that of ViT does the same with Pillow.

    Raises:
        InputError: There is none, or it needs a package that is not installed.
    """

    def load() -> Any:
        return transformers().AutoImageProcessor.from_pretrained(
            place, backend="pil", trust_remote_code=False
        )

    try:
        return fetch("image processor", place, load)
    except InputError as error:
        if "torchvision" not in str(error).lower():
            raise
        vit = getattr(transformers(), "ViTImageProcessorPil", None)
        if vit is None:
            raise
        values = fetch("image processor", place, lambda: vit.get_image_processor_dict(place)[0])
        if not str(values.get("image_processor_type", "")).startswith("DINOv3ViT"):
            raise
        return vit(**{key: value for key, value in values.items() if key != "image_processor_type"})
