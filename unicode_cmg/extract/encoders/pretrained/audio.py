"""Sound through audio models: frames averaged over steps, or one vector for the sound of each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.base import Array
from unicode_cmg.extract.encoders.pretrained.encoder import Reading, same_shapes
from unicode_cmg.extract.encoders.pretrained.loading import fetch, transformers
from unicode_cmg.extract.encoders.timing import average_over_steps, pieces
from unicode_cmg.extract.front_ends import on_clock
from unicode_cmg.extract.media import Grid, Sound

_LONGEST = 30.0  # seconds at once where a model does not say; attention over more takes too much memory
_SHORTEST = 0.1
_SPECTRUM_HOP = 0.01  # seconds between the spectra of AST


@dataclass(frozen=True)
class Heard:
    """A piece of a clip as a model reads it.

    Attributes:
        inputs: What the model reads.
        start: Its first second.
        end: Its end in seconds.
        reach: Seconds that the inputs last, with padding.
    """

    inputs: dict[str, Array]
    start: float
    end: float
    reach: float


class AudioReading(Reading):
    """Sound, in pieces that the model can hear at once."""

    def open(self) -> None:
        self._extractor  # noqa: B018

    def prepare(self, media: Sound, grid: Grid) -> tuple[list[Heard], Grid]:
        """What the model's feature extractor makes of each piece."""
        samples = on_clock(media, self._rate, grid).numpy()
        heard = []
        for piece in pieces(grid, self._window(grid)):
            own = samples[round(piece.start * self._rate) : round(piece.end * self._rate)]
            own = np.pad(own, (0, max(0, round(_SHORTEST * self._rate) - len(own))))
            made = self._extractor(own, sampling_rate=self._rate, return_tensors="np")
            inputs = {key: _plain(value) for key, value in made.items()}
            heard.append(Heard(inputs, piece.start, piece.end, self._reach(len(own), inputs)))
        return heard, grid

    def encode(self, model: Any, prepared: Sequence[Any]) -> list[Array]:
        """Features `[steps, dim]` of each clip."""
        flat = [piece for heard, _ in prepared for piece in heard]
        found = iter(same_shapes(model, [p.inputs for p in flat], lambda x: self._run(model, x), most=16))
        return [self._over_steps([(p, next(found)) for p in heard], grid) for heard, grid in prepared]

    def provenance(self) -> dict[str, Any]:
        return {
            "rate": self._rate,
            "hears": "one step" if self._vectors else self.settings.window or self._longest,
        }

    def _run(self, model: Any, inputs: dict[str, Any]) -> Any:
        """`[pieces, frames, dim]`; one frame where vectors are pooled."""
        if self.pool(model) == "pooled":
            return self.pooled(model, inputs).unsqueeze(1)
        hidden = self.hidden(model, inputs).last_hidden_state
        if self.settings.pool == "first":
            return hidden[:, :1]
        if hidden.ndim == 4:  # CLAP: neither axis is time alone
            return hidden.mean((2, 3)).unsqueeze(1)
        if self._patch_frames:
            patches = hidden[:, hidden.shape[1] % self._patch_frames :]
            return patches.unflatten(1, (-1, self._patch_frames)).mean(1)
        return hidden

    def _over_steps(self, heard: list[tuple[Heard, Array]], grid: Grid) -> Array:
        frames, starts, ends = [], [], []
        for piece, features in heard:
            whole = len(features) == 1
            hop = (piece.end - piece.start) if whole else piece.reach / len(features)
            begin = piece.start + hop * np.arange(len(features))
            kept = begin < piece.end - 1e-6
            frames.append(features[kept])
            starts.append(begin[kept])
            ends.append(np.minimum(begin[kept] + hop, piece.end))
        return average_over_steps(np.concatenate(frames), np.concatenate(starts), np.concatenate(ends), grid)

    def _window(self, grid: Grid) -> float:
        if self.settings.window is not None:
            return min(self.settings.window, self._longest)
        return min(1 / grid.per_second, self._longest) if self._vectors else self._longest

    def _reach(self, samples: int, inputs: dict[str, Array]) -> float:
        """Seconds from the first frame of the output to the end of the last one."""
        if self._patch_frames:
            return self._patch_frames * int(self._audio_config.time_stride) * _SPECTRUM_HOP
        hop = getattr(self._extractor, "hop_length", None)
        if "input_features" in inputs and hop:
            return float(inputs["input_features"].shape[-1] * hop / self._rate)
        return (inputs["input_values"].shape[-1] if "input_values" in inputs else samples) / self._rate

    @property
    def _vectors(self) -> bool:
        """Whether one vector stands for a piece, so that a piece should be a step."""
        if self.settings.pool == "auto" and self.config.model_type.startswith("pe_audio"):
            return self.settings.layer == -1
        return self.settings.pool in ("pooled", "first") or "clap" in self.config.model_type

    @property
    def _audio_config(self) -> Any:
        return getattr(self.config, "audio_config", self.config)

    @property
    def _patch_frames(self) -> int:
        """Patches along time of a model that reads patches of spectra, as AST does; 0 for others."""
        config = self._audio_config
        if not hasattr(config, "time_stride"):
            return 0
        return int((config.max_length - config.patch_size) // config.time_stride + 1)

    @cached_property
    def _longest(self) -> float:
        """Seconds that the model can hear at once."""
        config, extractor = self._audio_config, self._extractor
        if hasattr(config, "time_stride"):
            return float(config.max_length * _SPECTRUM_HOP)
        said = getattr(extractor, "chunk_length", None) or getattr(extractor, "max_length_s", None)
        return float(said or _LONGEST)

    @cached_property
    def _rate(self) -> int:
        return int(self._extractor.sampling_rate)

    @cached_property
    def _extractor(self) -> Any:
        def load() -> Any:
            return transformers().AutoFeatureExtractor.from_pretrained(self.place, trust_remote_code=False)

        found = fetch("feature extractor", self.place, load)
        if not hasattr(found, "sampling_rate"):
            raise InputError(f"its feature extractor {type(found).__name__} reads no sound", where=self.place)
        return found


def _plain(value: Any) -> Array:
    """The array of one sound, without an axis of the batch, in float32 or as booleans or integers."""
    array: Array = np.asarray(value)[0]
    return array.astype(np.float32) if array.dtype.kind == "f" else array
