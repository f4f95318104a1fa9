"""From samples to the spectra that audio encoders read, computed by torchaudio.

Every function has a plain formula beside it in `tests/extract/test_front_ends.py`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional as F

from unicode_cmg.errors import SetupError
from unicode_cmg.extract.media import Grid, Sound

VGGISH_RATE = 16_000
VGGISH_FRAMES = 96
_VGGISH_WINDOW, _VGGISH_HOP, _VGGISH_FFT = 400, 160, 512
_VGGISH_SAMPLES = (VGGISH_FRAMES - 1) * _VGGISH_HOP + _VGGISH_WINDOW
_COARSEST = 2000  # of a ratio of rates: the filter of 44099:16000 would take gigabytes


@cache
def torchaudio(module: str = "torchaudio") -> Any:
    """torchaudio, or a module of it.

    Raises:
        SetupError: It cannot be imported.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # OSError: a compiled part for another torch or for CUDA
        release = ".".join(torch.__version__.split("+")[0].split(".")[:2])
        raise SetupError(
            f"audio needs torchaudio, which cannot be imported ({str(error).splitlines()[0]})",
            fix=f"install the one built for torch {release} (pip install 'unicode-cmg[audio]'); where there"
            " is none, see 'Install torchaudio' in docs/reference/encoders.md",
        ) from None


def resample(samples: Float32[Tensor, "... n"], rate: int, to: int) -> Float32[Tensor, "... m"]:
    """Samples at another rate, filtered by a windowed sinc.

    A ratio of rates with large terms, such as 44099:16000, is replaced by the nearest ratio of terms up to
    2000, which is less than a millionth away.

    Raises:
        SetupError: The rates differ, and torchaudio is not there.
    """
    ratio = Fraction(to, rate)
    if max(ratio.numerator, ratio.denominator) > _COARSEST:
        ratio = ratio.limit_denominator(_COARSEST) or Fraction(1, _COARSEST)
    if ratio == 1:
        return samples
    functional = torchaudio("torchaudio.functional")
    resampled: Tensor = functional.resample(samples, ratio.denominator, ratio.numerator)
    return resampled


def on_clock(sound: Sound, rate: int, grid: Grid, *, tail: float = 0.0) -> Float32[Tensor, " n"]:
    """The mean of all channels at `rate`, from second 0 of the clip to the end of its last step.

    What is missing at either end is silence.

    Args:
        sound: As decoded.
        rate: Samples per second of the result.
        grid: The steps of the clip.
        tail: Seconds after the last step that are wanted too.

    Raises:
        SetupError: It needs resampling, and torchaudio is not there.
    """
    mono = resample(torch.from_numpy(np.ascontiguousarray(sound.samples.mean(axis=0))), sound.rate, rate)
    wanted = round((grid.steps / grid.per_second + tail) * rate)
    first = round(sound.start * rate)
    kept = mono[max(0, -first) : max(0, wanted - first)]
    before = min(max(0, first), wanted)
    return F.pad(kept, (before, wanted - before - len(kept)))


def vggish_windows(sound: Sound, grid: Grid) -> Float32[Tensor, "steps windows 96 64"]:
    """The log-mel spectra that VGGish reads (Hershey et al. 2017), of 0.96 s from the start of each step on.

    A step of two seconds or more has a window for each whole second.
    """
    windows = max(1, math.floor(1 / grid.per_second + 1e-6))
    samples = on_clock(sound, VGGISH_RATE, grid, tail=_VGGISH_SAMPLES / VGGISH_RATE)
    count = grid.steps * windows
    starts = [round(i * VGGISH_RATE / (windows * grid.per_second)) for i in range(count)]
    cut = torch.stack([samples[start : start + _VGGISH_SAMPLES] for start in starts])
    return vggish_log_mel(cut).reshape(grid.steps, windows, VGGISH_FRAMES, 64)


def vggish_log_mel(samples: Float32[Tensor, "... n"]) -> Float32[Tensor, "... frames 64"]:
    """log(mel + 0.01) of magnitudes: 25 ms every 10 ms, 64 triangles from 125 to 7500 Hz.

    Triangles are straight in mel, as Kaldi and VGGish draw them, not in hertz.

    Args:
        samples: At 16 kHz, between -1 and 1.
    """
    transforms = torchaudio("torchaudio.transforms")
    spectrum = transforms.Spectrogram(
        n_fft=_VGGISH_FFT, win_length=_VGGISH_WINDOW, hop_length=_VGGISH_HOP, power=1.0, center=False
    )
    margin = (_VGGISH_FFT - _VGGISH_WINDOW) // 2  # the window stands in the middle of the transform
    magnitude = spectrum(F.pad(samples, (margin, margin)))
    logarithm: Tensor = torch.log(_kaldi_bands() @ magnitude + 0.01).transpose(-1, -2)
    return logarithm


def _kaldi_bands() -> Tensor:
    """64 bands over the 257 frequencies of VGGish."""
    kaldi = torchaudio("torchaudio.compliance.kaldi")
    bands, _ = kaldi.get_mel_banks(64, _VGGISH_FFT, float(VGGISH_RATE), 125.0, 7500.0, 100.0, -500.0, 1.0)
    padded: Tensor = F.pad(bands, (0, 1))  # Kaldi leaves out the last frequency, which no band reaches
    return padded


def kaldi_fbank(samples: Float32[Tensor, " n"], rate: int, bands: int) -> Float32[Tensor, "frames bands"]:
    """Kaldi's filter bank energies as AST reads them: log, Hann window, 25 ms every 10 ms, no dither.

    In float64, because the lowest bands lose digits when the mean of each frame is removed.
    """
    kaldi = torchaudio("torchaudio.compliance.kaldi")
    energies: Tensor = kaldi.fbank(
        samples.double().unsqueeze(0), sample_frequency=float(rate), window_type="hanning", num_mel_bins=bands
    )
    return energies.float()


def log_mel(samples: Float32[Tensor, " n"], rate: int, bands: int) -> Float32[Tensor, "frames bands"]:
    """log(mel + 1e-6) of powers: Hann windows of 25 ms, centred every 10 ms, HTK's mel up to rate / 2."""
    mel = torchaudio("torchaudio.transforms").MelSpectrogram(rate, **_mel_settings(rate, bands))
    logarithm: Tensor = torch.log(mel(samples) + 1e-6).T
    return logarithm


def mfcc(
    samples: Float32[Tensor, " n"], rate: int, bands: int, *, mels: int = 64
) -> Float32[Tensor, "frames bands"]:
    """The first `bands` coefficients of the orthonormal cosine transform of `log_mel`."""
    settings = {"log_mels": True, "melkwargs": _mel_settings(rate, mels)}
    coefficients: Tensor = torchaudio("torchaudio.transforms").MFCC(rate, bands, **settings)(samples).T
    return coefficients


def _mel_settings(rate: int, bands: int) -> dict[str, Any]:
    window, hop = rate // 40, rate // 100
    fft = 1 << (window - 1).bit_length()
    return {"n_fft": fft, "win_length": window, "hop_length": hop, "n_mels": bands}
