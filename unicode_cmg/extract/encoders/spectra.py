"""Plain spectra as features, without any weights: `log-mel`, `mfcc` and `fbank`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Float32
from pydantic import Field
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.base import Array, Encoder, EncoderConfig
from unicode_cmg.extract.encoders.timing import average_over_steps
from unicode_cmg.extract.front_ends import kaldi_fbank, log_mel, mfcc, on_clock, torchaudio
from unicode_cmg.extract.media import Grid, Kind, Media, Sound

_HOP, _WINDOW = 0.010, 0.025  # seconds


class SpectraConfig(EncoderConfig):
    """Settings of `log-mel`, `mfcc` and `fbank`, which need no `model`."""

    rate: int = Field(default=16_000, ge=4_000, le=192_000, description="samples per second")
    bands: int | None = Field(
        default=None, ge=1, le=256, description="channels; null: 64 of log-mel, 20 of mfcc, 128 of fbank"
    )


class _Spectra(Encoder):
    kinds = ("audio",)
    config_class = SpectraConfig
    default_bands: ClassVar[int]
    centred: ClassVar[bool]  # whether frame i has its middle, or its start, at i * 10 ms

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        super().__init__(kind, settings)
        values = cast("SpectraConfig", settings)
        self.rate, self.bands = values.rate, values.bands or self.default_bands
        if settings.model is not None:
            raise InputError(f"'{self.name}' has no model", expected=f"'{self.name}' alone")
        torchaudio()

    def prepare(self, media: Media, grid: Grid) -> Array:
        """The mean of the spectra of each step, `[steps, bands]`."""
        samples = on_clock(cast("Sound", media), self.rate, grid)
        frames = self.spectra(samples).numpy()
        middles = np.arange(len(frames)) * _HOP + (0 if self.centred else _WINDOW / 2)
        return average_over_steps(frames, middles - _HOP / 2, middles + _HOP / 2, grid)

    @abstractmethod
    def spectra(self, samples: Float32[Tensor, " n"]) -> Float32[Tensor, "frames bands"]:
        """A spectrum every 10 ms."""

    def encode(self, prepared: Sequence[Any]) -> list[Array]:
        """What `prepare` made."""
        return list(prepared)

    def provenance(self) -> dict[str, Any]:
        return {**super().provenance(), "bands": self.bands, "hop": _HOP, "window": _WINDOW}


class LogMel(_Spectra):
    """`log-mel`: logarithms of mel bands."""

    name, default_bands, centred = "log-mel", 64, True

    def spectra(self, samples: Float32[Tensor, " n"]) -> Float32[Tensor, "frames bands"]:
        return log_mel(samples, self.rate, self.bands)


class MFCC(_Spectra):
    """`mfcc`: cepstral coefficients of mel bands."""

    name, default_bands, centred = "mfcc", 20, True

    def spectra(self, samples: Float32[Tensor, " n"]) -> Float32[Tensor, "frames bands"]:
        return mfcc(samples, self.rate, self.bands)


class Fbank(_Spectra):
    """`fbank`: Kaldi's filter banks."""

    name, default_bands, centred = "fbank", 128, False

    def spectra(self, samples: Float32[Tensor, " n"]) -> Float32[Tensor, "frames bands"]:
        return kaldi_fbank(samples, self.rate, self.bands)
