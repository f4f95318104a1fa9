"""`transformers`: any audio, image, video or text model of transformers, by name or local folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from pydantic import Field

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.base import Array, Encoder, EncoderConfig
from unicode_cmg.extract.encoders.pretrained.loading import (
    cached,
    check_place,
    load_config,
    load_model,
    model_sums,
    projection,
    tower,
    transformers,
    vector,
)
from unicode_cmg.extract.media import Grid, Kind, Media

Pool = Literal["mean", "first", "pooled"]


class TransformersConfig(EncoderConfig):
    """Settings of `transformers`; `model` is a name on the Hub or a folder that `save_pretrained` wrote."""

    pool: Literal["auto", "mean", "first", "pooled"] = Field(
        default="auto",
        description="what becomes one vector: the mean of all tokens, the first one, or what the model itself"
        " pools or projects; auto: the shared space of CLIP and its like, else as the sentence encoder says,"
        " else the first token of images and the mean of anything else",
    )
    layer: int = Field(default=-1, description="hidden layer that is read; -1: the last one, after its norm")
    per: Literal["sentence", "word", "token"] = Field(
        default="sentence", description="text: one row per sentence, word (mean of its tokens) or token"
    )
    most: int | None = Field(default=None, ge=1, description="text: most rows of a clip; null: all")
    normalize: bool | None = Field(
        default=None,
        description="text: scale to length 1; null: as the sentence encoder says",
    )
    grid: int | None = Field(
        default=None,
        ge=1,
        description="images, video: keep patches as a grid of this many rows and columns",
    )
    frames: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="video: images of each step; null: 1, or what a video model reads",
    )
    window: float | None = Field(
        default=None,
        gt=0,
        description="audio: seconds that it hears at once; null: as many as it can, up to"
        " 30, or one step where vectors are pooled",
    )


class Reading(ABC):
    """How one kind of media goes through a model.

    Args:
        kind: The kind.
        place: Name or folder of the model.
        settings: The settings of the encoder.
        config: The model's configuration.
    """

    def __init__(self, kind: Kind, place: str, settings: TransformersConfig, config: Any) -> None:
        self.kind: Kind = kind
        self.place, self.settings, self.config = place, settings, config

    @property
    def frames_per_step(self) -> int:
        """As `Encoder.frames_per_step`."""
        return 1

    @abstractmethod
    def open(self) -> None:
        """Read what `prepare` needs, so that errors come before the first clip.

        Raises:
            InputError: It is not there.
        """

    @abstractmethod
    def prepare(self, media: Any, grid: Grid) -> Any:
        """As `Encoder.prepare`."""

    @abstractmethod
    def encode(self, model: Any, prepared: Sequence[Any]) -> list[Array]:
        """As `Encoder.encode`."""

    def words(self, prepared: Any) -> Sequence[str] | None:
        """As `Encoder.words`."""
        return None

    def provenance(self) -> dict[str, Any]:
        """What this kind adds."""
        return {}

    def hidden(self, model: Any, inputs: dict[str, Any]) -> Any:
        """The output of the tower, whose `last_hidden_state` is that of the chosen layer."""
        read, layer = tower(model, self.kind), self.settings.layer
        if layer == -1:
            return read(**inputs)
        output = read(**inputs, output_hidden_states=True)
        layers = output.hidden_states
        if not -len(layers) <= layer < len(layers):
            raise InputError(
                f"layer is {layer}", where=self.place, expected=f"{-len(layers)} to {len(layers) - 1}"
            )
        output.last_hidden_state = layers[layer]
        return output

    def pool(self, model: Any) -> Pool | None:
        """The chosen pooling; None where `auto` is left to the kind."""
        if self.settings.pool != "auto":
            return self.settings.pool
        projects = projection(model, self.kind) is not None and self.settings.layer == -1
        return "pooled" if projects else None

    def pooled(self, model: Any, inputs: dict[str, Any]) -> Any:
        """The projected or pooled vectors `[batch, dim]`.

        Raises:
            InputError: The model has neither, or weights for it are missing.
        """
        project = projection(model, self.kind)
        vectors = vector(project(**inputs) if project else tower(model, self.kind)(**inputs))
        if vectors is None or (project is None and model.unfilled):
            raise InputError(
                "the model pools nothing itself", where=self.place, fix="set pool to mean or first"
            )
        return vectors


_READINGS: dict[Kind, tuple[str, str]] = {
    "audio": ("audio", "AudioReading"),
    "image": ("images", "ImageReading"),
    "text": ("text", "TextReading"),
    "video": ("images", "ImageReading"),
}


_OF_KINDS: dict[str, tuple[Kind, ...]] = {
    "per": ("text",),
    "most": ("text",),
    "normalize": ("text",),
    "grid": ("image", "video"),
    "frames": ("video",),
    "window": ("audio",),
}


class TransformersEncoder(Encoder):
    """Features of a model of transformers; code that comes with a model is never run."""

    name = "transformers"
    kinds = ("audio", "video", "image", "text")
    config_class = TransformersConfig

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        super().__init__(kind, settings)
        self.place = check_place(settings.model)
        self._check_settings(cast("TransformersConfig", settings))
        config = load_config(self.place)
        module, name = _READINGS[kind]
        if kind == "video" and _frames_of(config) is not None:
            module, name = "video", "VideoReading"
        reading = getattr(import_module(f"unicode_cmg.extract.encoders.pretrained.{module}"), name)
        self.reading: Reading = reading(kind, self.place, cast("TransformersConfig", settings), config)
        self.reading.open()

    def _check_settings(self, settings: TransformersConfig) -> None:
        """Refuse settings that would have no effect."""
        for key, kinds in _OF_KINDS.items():
            if key in settings.model_fields_set and self.kind not in kinds:
                raise InputError(
                    f"'{key}' has no effect on {self.kind}", where=self.place, fix="leave it out"
                )
        if settings.pool == "pooled" and settings.layer != -1:
            raise InputError(
                f"'layer: {settings.layer}' has no effect on what the model pools itself",
                where=self.place,
                expected="pool: mean or first",
            )

    @property
    def frames_per_step(self) -> int:
        return self.reading.frames_per_step

    def load(self, device: str = "cpu") -> None:
        """Read the weights."""
        self.model = load_model(self.place, self.kind, device)

    def prepare(self, media: Media, grid: Grid) -> Any:
        """What the model's own processor makes of one clip."""
        return self.reading.prepare(media, grid)

    def encode(self, prepared: Sequence[Any]) -> list[Array]:
        """Features of several clips."""
        with torch.inference_mode():
            return self.reading.encode(self.model, prepared)

    def words(self, prepared: Any) -> Sequence[str] | None:
        """The words or tokens of a text, unless its rows are sentences."""
        return self.reading.words(prepared)

    def provenance(self) -> dict[str, Any]:
        hub = None if Path(self.place).is_dir() else cached(self.place, "config.json")
        return {
            **super().provenance(),
            **({"revision": hub.parent.name} if hub else {}),
            **self.reading.provenance(),
            "architecture": self.reading.config.model_type,
            "transformers": transformers().__version__,
        }

    def content(self, place: str) -> str | dict[str, str] | None:
        """Of a folder, the files that transformers reads."""
        return model_sums(Path(self.place)) if Path(self.place).is_dir() else None


def _frames_of(config: Any) -> int | None:
    """How many frames a video model reads at once; None for other models."""
    found = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    return int(found) if found else None


def same_shapes(model: Any, items: Sequence[dict[str, Array]], run: Any, *, most: int) -> list[Array]:
    """Run inputs through a model, those of equal shapes together, so that no result depends on padding.

    Args:
        model: The model, whose device is used.
        items: The inputs of each, without an axis of the batch.
        run: Takes stacked inputs, and returns results `[batch, ...]`.
        most: Most items at once.

    Returns:
        The result of each, in order.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(tuple((key, value.shape) for key, value in item.items()), []).append(index)
    results: list[Any] = [None] * len(items)
    for group in groups.values():
        for start in range(0, len(group), most):
            part = group[start : start + most]
            inputs = {
                key: torch.from_numpy(np.stack([items[i][key] for i in part])).to(model.device)
                for key in items[part[0]]
            }
            for index, result in zip(part, run(inputs).float().cpu().numpy(), strict=True):
                results[index] = result
    return results
