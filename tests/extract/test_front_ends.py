"""Front ends beside plain formulas and beside `transformers.audio_utils`."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from unicode_cmg.errors import InputError
from unicode_cmg.extract.front_ends import (
    kaldi_fbank,
    log_mel,
    mfcc,
    on_clock,
    resample,
    torchaudio,
    vggish_log_mel,
    vggish_windows,
)
from unicode_cmg.extract.media import Grid, Sound

RATE = 16_000


@pytest.fixture
def samples() -> torch.Tensor:
    """Half a second of two tones, a click and noise."""
    rng, time = np.random.default_rng(0), np.arange(RATE // 2) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 3100 * time)
    sound[4000] = 0.9
    return torch.from_numpy((sound + 0.1 * rng.normal(size=sound.shape)).astype(np.float32))


def framed(x: np.ndarray, window: int, hop: int) -> np.ndarray:
    return np.stack([x[i : i + window] for i in range(0, len(x) - window + 1, hop)]).astype(np.float64)


def spectrum(frames: np.ndarray, fft: int) -> np.ndarray:
    """Magnitudes of the transform, from its definition."""
    time, frequency = np.arange(frames.shape[1]), np.arange(fft // 2 + 1)
    return np.abs(frames @ np.exp(-2j * np.pi * np.outer(time, frequency) / fft))


def hann(length: int, *, periodic: bool) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length if periodic else length - 1))


def triangles(edges: np.ndarray, at: np.ndarray) -> np.ndarray:
    """[bands, frequencies], straight between edges."""
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((at - low) / (centre - low), (high - at) / (high - centre)))


def kaldi_mel(hertz: np.ndarray) -> np.ndarray:
    return 1127 * np.log(1 + np.asarray(hertz) / 700)


def kaldi_triangles(bands: int, low: float, high: float) -> np.ndarray:
    edges = np.linspace(kaldi_mel(low), kaldi_mel(high), bands + 2)
    return triangles(edges, kaldi_mel(np.arange(257) * RATE / 512))


def htk_triangles(bands: int) -> np.ndarray:
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), bands + 2)
    return triangles(700 * (10 ** (mel / 2595) - 1), np.arange(257) * RATE / 512)


def test_log_mel_of_vggish_is_the_formula_and_that_of_transformers(
    samples: torch.Tensor, torchaudio_here: None
) -> None:
    ours = vggish_log_mel(samples).numpy()
    magnitude = spectrum(framed(samples.numpy(), 400, 160) * hann(400, periodic=True), 512)
    np.testing.assert_allclose(ours, np.log(magnitude @ kaldi_triangles(64, 125, 7500).T + 0.01), atol=1e-4)
    bank = mel_filter_bank(257, 64, 125, 7500, RATE, mel_scale="kaldi", triangularize_in_mel_space=True)
    window = window_function(400, "hann")
    theirs = spectrogram(samples.numpy(), window, 400, 160, 512, power=1.0, center=False, mel_filters=bank)
    np.testing.assert_allclose(ours, np.log(theirs.T + 0.01), atol=1e-4)


def test_windows_of_vggish_begin_with_their_step(samples: torch.Tensor, torchaudio_here: None) -> None:
    sound = Sound(samples.repeat(6).numpy()[None], RATE)  # 3 s, the same every half
    windows = vggish_windows(sound, Grid(3, 1))
    assert windows.shape == (3, 1, 96, 64)
    np.testing.assert_allclose(
        windows[0, 0], vggish_log_mel(torch.tensor(sound.samples[0, :15600])), atol=1e-5
    )
    np.testing.assert_allclose(windows[0], windows[1], atol=1e-5)
    assert vggish_windows(sound, Grid(3, 2)).shape == (6, 1, 96, 64)
    assert vggish_windows(sound, Grid(4, 0.5)).shape == (2, 2, 96, 64)
    assert vggish_windows(sound, Grid(3, 3)).shape == (9, 1, 96, 64)


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_filter_bank_of_kaldi_is_the_formula_and_that_of_transformers(
    samples: torch.Tensor, torchaudio_here: None
) -> None:
    ours = kaldi_fbank(samples, RATE, 128).numpy()
    frames = framed(samples.numpy(), 400, 160)
    frames = frames - frames.mean(1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = spectrum((frames - 0.97 * before) * hann(400, periodic=False), 512) ** 2
    floor = np.finfo(np.float32).eps
    expected = np.log(np.maximum(power @ kaldi_triangles(128, 20, RATE / 2).T, floor))
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    bank = mel_filter_bank(257, 128, 20, RATE // 2, RATE, mel_scale="kaldi", triangularize_in_mel_space=True)
    theirs = spectrogram(
        samples.numpy(),
        window_function(400, "hann", periodic=False),
        *(400, 160, 512),
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=bank,
        log_mel="log",
        mel_floor=float(floor),
        remove_dc_offset=True,
    )
    np.testing.assert_allclose(ours, theirs.T, atol=1e-4)


def test_log_mel_and_mfcc_are_the_formulas_and_those_of_transformers(
    samples: torch.Tensor, torchaudio_here: None
) -> None:
    ours = log_mel(samples, RATE, 64).numpy()
    padded = np.pad(samples.numpy(), 256, mode="reflect")
    window = np.pad(hann(400, periodic=True), 56)
    power = spectrum(framed(padded, 512, 160) * window, 512) ** 2
    expected = np.log(power @ htk_triangles(64).T + 1e-6)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    bank = mel_filter_bank(257, 64, 0, RATE / 2, RATE, mel_scale="htk")
    theirs = spectrogram(samples.numpy(), window, 512, 160, 512, power=2.0, mel_filters=bank, mel_floor=0.0)
    np.testing.assert_allclose(ours, np.log(theirs.T + 1e-6), atol=1e-4)
    cosines = scipy.fft.dct(expected, norm="ortho", axis=1)[:, :20]
    np.testing.assert_allclose(mfcc(samples, RATE, 20).numpy(), cosines, atol=1e-4)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 44_099])
def test_a_tone_keeps_its_shape_at_another_rate(rate: int, torchaudio_here: None) -> None:
    tone = torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate)
    there = resample(tone, rate, RATE)
    assert abs(len(there) - RATE) <= 1
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)
    np.testing.assert_allclose(there[200:-200], expected[200 : len(there) - 200], atol=5e-3)


def test_channels_are_averaged_and_missing_sound_is_silence() -> None:
    samples = np.stack([np.arange(1, 6), np.arange(3, 8)]).astype(np.float32)
    assert on_clock(Sound(samples, 1), 1, Grid(7, 1)).tolist() == [2, 3, 4, 5, 6, 0, 0]
    assert on_clock(Sound(samples, 1, start=2), 1, Grid(4, 1)).tolist() == [0, 0, 2, 3]
    assert on_clock(Sound(samples, 1, start=-2), 1, Grid(4, 1)).tolist() == [4, 5, 6, 0]
    assert on_clock(Sound(samples, 1, start=9), 1, Grid(4, 1)).tolist() == [0] * 4
    assert on_clock(Sound(samples, 1), 1, Grid(3, 1), tail=3.0).tolist() == [2, 3, 4, 5, 6, 0]


def test_without_torchaudio_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("torchaudio")] + ["torchaudio.functional"]:
        monkeypatch.setitem(sys.modules, name, None)
    torchaudio.cache_clear()
    with pytest.raises(InputError, match=r"audio needs torchaudio.*pip install 'unicode-cmg\[audio\]'"):
        resample(torch.zeros(10), 8_000, RATE)
    torchaudio.cache_clear()
