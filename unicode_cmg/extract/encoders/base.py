"""What every encoder promises: decoded media of one clip in, one array of features per step out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.weights import sha256
from unicode_cmg.extract.media import Grid, Kind, Media

Array = NDArray[Any]


class EncoderConfig(Config):
    """Settings of an encoder; `NAME:MODEL` on the command line sets `model` alone.

    Attributes:
        places: The settings that name a file or a folder.
    """

    places: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = Field(default=None, description="file or folder of the weights, or name of a model")


class Encoder(ABC):
    """Turns decoded media into features, in two parts.

    `prepare` works on one clip with the CPU alone, as part of decoding: it may run in other threads and
    processes, and an encoder that is pickled for them leaves its model behind. `encode` takes what several
    clips gave, in one batch.

    Args:
        kind: What it reads here, one of its `kinds`.
        settings: An instance of its `config_class`.

    Attributes:
        name: Its name in specifications; the same as that of its entry point.
        kinds: Which kinds of media it can read.
        config_class: Class of its settings.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]
    config_class: ClassVar[type[EncoderConfig]] = EncoderConfig

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        self.kind: Kind = kind
        self.settings = settings
        self.model: Any = None

    @property
    def frames_per_step(self) -> int:
        """How many images of each step of a video it reads: `grid.frame_seconds(frames_per_step)`."""
        return 1

    def load(self, device: str = "cpu") -> None:  # noqa: B027 - not every encoder has a model
        """Load `self.model` onto a device, ready to encode; called once, before the first `encode`.

        Raises:
            InputError: The weights are missing or do not fit.
        """

    @abstractmethod
    def prepare(self, media: Media, grid: Grid) -> Any:
        """What `encode` needs of one clip: resampled, cut, scaled or split into tokens.

        Args:
            media: `Sound`, `Frames` or `Text`, as `kind` says.
            grid: The steps of the clip. Audio, video and images give one row of features per step; a text
                gives one per token or sentence.

        Raises:
            InputError: The clip cannot be encoded; it is then listed and left out.
        """

    @abstractmethod
    def encode(self, prepared: Sequence[Any]) -> list[Array]:
        """Features of several clips, `[steps, ..., dim]` each, in float32.

        Args:
            prepared: What `prepare` returned, clip by clip.
        """

    def words(self, prepared: Any) -> Sequence[str] | None:
        """What each row of the features of a text stands for, such as a word; None: that is not known.

        Args:
            prepared: What `prepare` returned for the clip.
        """
        return None

    def provenance(self) -> dict[str, Any]:
        """Plain values that say where the features come from: clips are only added to a store of equal ones.

        A file or a folder that a setting names stands here with the SHA-256 of its content, as
        `model_sha256`, and not with its path, so that it may lie elsewhere the next time.
        """
        values = self.settings.model_dump(mode="json", exclude_none=True)
        for name in self.settings.places:
            content = self.content(values[name]) if name in values else None
            if content is not None:
                del values[name]
                values[f"{name}_sha256"] = content
        return {"encoder": self.name, **values}

    def content(self, place: str) -> str | dict[str, str] | None:
        """SHA-256 of a file, or of each file in a folder that is not hidden; None if there is neither."""
        path = Path(place).expanduser()
        if path.is_file():
            return sha256(path)
        if not path.is_dir():
            return None
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        names = {str(file.relative_to(path)): file for file in files}
        return {name: sha256(file) for name, file in names.items() if not name.startswith(".")}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "model": None}


def in_batches(
    network: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], *, most: int
) -> list[Float[Tensor, "rows ..."]]:
    """Rows of several clips through a network together, without a graph.

    Args:
        network: Rows in, as many rows out, on the CPU.
        inputs: The rows of each clip, all of one shape.
        most: Most rows at once.

    Returns:
        The results of each clip.
    """
    with torch.inference_mode():
        rows = torch.cat(list(inputs))
        results = torch.cat([network(part) for part in torch.split(rows, most)])
    return list(torch.split(results, [len(part) for part in inputs]))


def mean_per_step(
    features: Float32[np.ndarray, "rows ..."], rows: Int64[np.ndarray, " rows"], steps: int
) -> Float32[np.ndarray, "steps ..."]:
    """The mean of the features of each step.

    Args:
        features: One row per image.
        rows: The step of each; those of no step are left out.
        steps: Number of steps.

    Returns:
        One row per step; 0 for a step without any.
    """
    means = np.zeros((steps, *features.shape[1:]), np.float32)
    for step in range(steps):
        if (own := rows == step).any():
            means[step] = features[own].mean(0)
    return means


class FunctionEncoder(Encoder):
    """A plain function as an encoder.

    Args:
        function: Takes the media of one clip and its grid, and returns features `[steps, ..., dim]`. It runs
            in the process that encodes; derive a class from `Encoder` for batches and work in the decoders.
        kind: What it reads.
        name: Its name in the provenance of the store; the name of the function by default.
        frames_per_step: How many images of each step of a video it reads.

    >>> from unicode_cmg.extract.media import Sound
    >>> def loudness(sound, grid):
    ...     return np.abs(sound.samples).mean() * np.ones((grid.steps, 1))
    >>> encoder = FunctionEncoder(loudness, kind="audio")
    >>> clip = encoder.prepare(Sound(np.ones((1, 20), np.float32), rate=10), Grid(seconds=2, per_second=1))
    >>> encoder.encode([clip])[0].shape
    (2, 1)
    """

    name = "function"
    kinds = ("audio", "video", "image", "text")

    def __init__(
        self,
        function: Callable[[Any, Grid], Any],
        *,
        kind: Kind,
        name: str | None = None,
        frames_per_step: int = 1,
    ) -> None:
        super().__init__(kind, EncoderConfig(model=name or getattr(function, "__name__", "function")))
        self.function = function
        self._frames_per_step = frames_per_step

    @property
    def frames_per_step(self) -> int:
        return self._frames_per_step

    def content(self, place: str) -> None:
        """A function is known by its name alone, also beside a file of this name."""

    def prepare(self, media: Media, grid: Grid) -> tuple[Media, Grid]:
        """Both as they are."""
        return media, grid

    def encode(self, prepared: Sequence[Any]) -> list[Array]:
        """The function's results, clip by clip.

        Raises:
            InputError: A result has no axis of steps, or not as many steps as the grid.
        """
        return [
            self._checked(np.asarray(self.function(media, grid), np.float32), grid)
            for media, grid in prepared
        ]

    def _checked(self, features: Array, grid: Grid) -> Array:
        timed = self.kind != "text"
        if features.ndim < 2 or (timed and len(features) != grid.steps):
            raise InputError(
                f"it returned an array of shape {list(features.shape)}",
                where=f"the function '{self.settings.model}'",
                expected=f"[{grid.steps if timed else 'tokens'}, ..., dim]",
            )
        return features
