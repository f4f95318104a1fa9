"""Sound of audio files and of videos, by soundfile where it reads the format, else by PyAV."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from unicode_cmg.extract.decoding.container import Container, stream_seconds
from unicode_cmg.extract.decoding.file import Page, decoder, decoding, opened
from unicode_cmg.extract.faults import MediaError
from unicode_cmg.extract.media import Sound

_BY_SOUNDFILE = (".wav", ".flac", ".ogg", ".oga", ".aif", ".aiff", ".au", ".w64", ".caf")
"""What soundfile reads; mpg123, which it uses for MP3, writes complaints to the terminal."""
_RATES = (1000, 768_000)
_MOST_SAMPLES = 1 << 30  # of all channels: an hour of 48 kHz in six channels
_MISSED = 0.05  # seconds of a gap between frames that is heard as silence
_SHORT = 0.1  # seconds by which a file may be shorter than it says


def read_sound(place: Path | Page, root: Path, start: float, seconds: float | None) -> Sound:
    """The sound of a part of a file, with the rate and the channels that it has.

    Args:
        place: An audio file, or a video.
        root: The folder that it may not leave.
        start: Second of the file at which the clip starts.
        seconds: Length of the clip; None for all of the rest.

    Raises:
        MediaError: It is not readable, has no sound, is silent, empty, truncated, of an absurd rate, or has
            values that are not finite.
        SetupError: A decoder is not installed, or there is not enough memory.
    """
    with decoding("audio file", place):
        sound = None
        if _suffix(place) in _BY_SOUNDFILE:
            sound = _by_soundfile(opened(place, root), start, seconds)
        if sound is None:
            sound = _by_av(opened(place, root), start, seconds)
    if not sound.samples.size:
        what = f"there is no sound after second {start:g}" if start else "there is not a single sample in it"
        raise MediaError("empty", what)
    if not np.isfinite(sound.samples).all():
        raise MediaError("unreadable", "it has samples that are not finite numbers")
    if sound.samples.shape[1] > 1 and (sound.samples == sound.samples[:, :1]).all():
        raise MediaError("silent", "all its samples are the same")
    return sound


def sound_seconds(place: Path | Page, root: Path) -> float:
    """The length of the sound of a file; errors as in `read_sound`."""
    with decoding("audio file", place):
        if _suffix(place) in _BY_SOUNDFILE:
            soundfile = decoder("soundfile")
            try:
                with soundfile.SoundFile(opened(place, root)) as file:
                    return float(file.frames / file.samplerate)
            except soundfile.LibsndfileError:
                pass  # a file of another kind under this name
        with Container(opened(place, root)) as container:
            stream = _stream(container)
            return stream_seconds(container, stream)


def _suffix(place: Path | Page) -> str:
    return Path(place.name).suffix.lower()


def _check_rate(rate: int) -> int:
    if not _RATES[0] <= rate <= _RATES[1]:
        raise MediaError("unreadable", f"it has {rate} samples per second, not {_RATES[0]} to {_RATES[1]}")
    return rate


def _check_size(samples: int, channels: int) -> None:
    if samples * channels > _MOST_SAMPLES:
        raise MediaError("too large", f"{samples} samples of {channels} channels")


def _by_soundfile(file: Any, start: float, seconds: float | None) -> Sound | None:
    """None if it is a file of another kind, whatever its name."""
    soundfile = decoder("soundfile")
    try:
        source = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        return None
    with source:
        rate = _check_rate(source.samplerate)
        if "data :" in source.extra_info and "(should be" in source.extra_info.split("data :", 1)[1]:
            held = source.frames / rate
            raise MediaError("truncated", f"it ends after {held:.2f} s, before the end that its header names")
        first = round(start * rate)
        if first >= source.frames:
            return Sound(np.zeros((source.channels, 0), np.float32), rate)
        source.seek(first)
        wanted = source.frames - first
        if seconds is not None:
            wanted = min(wanted, math.ceil(seconds * rate))
        _check_size(wanted, source.channels)
        samples = source.read(wanted, dtype="float32", always_2d=True)
        if len(samples) < wanted - _SHORT * rate:
            held, of = (first + len(samples)) / rate, source.frames / rate
            raise MediaError("truncated", f"it ends after {held:.2f} s of {of:.2f} s")
    return Sound(np.ascontiguousarray(samples.T), rate)


def _stream(container: Container) -> Any:
    if not container.file.streams.audio:
        raise MediaError("no sound", "there is no sound in it")
    return container.file.streams.audio[0]


def _by_av(file: Any, start: float, seconds: float | None) -> Sound:
    with Container(file) as container:
        stream = _stream(container)
        if not stream.codec_context:
            raise MediaError("unreadable", "its sound is of an unknown kind")
        rate = _check_rate(stream.rate or 0)
        pieces: list[tuple[int, Float32[np.ndarray, "_ _"]]] = []
        resampler, at, ended = None, 0, False
        for frame, time in container.frames_from(stream, start):
            if resampler is None:
                resampler = decoder("av").AudioResampler("fltp", frame.layout.name, rate)
            position = round((time - start) * rate)
            if pieces and abs(position - at) < _MISSED * rate:
                position = at  # time stamps are rounded
            if seconds is not None and position >= seconds * rate:
                ended = True
                break
            for part in resampler.resample(frame):
                values = part.to_ndarray()
                pieces.append((position, values))
                position += values.shape[1]
            at = position
        if not ended:
            container.check_end(stream, start + at / rate, None if seconds is None else start + seconds)
    return _joined(pieces, rate, seconds)


def _joined(pieces: list[tuple[int, Float32[np.ndarray, "_ _"]]], rate: int, seconds: float | None) -> Sound:
    """One array from pieces at their positions, with silence in gaps, from second 0 of the clip on."""
    if not pieces:
        return Sound(np.zeros((1, 0), np.float32), rate)
    begin = max(0, min(position for position, _ in pieces))
    end = max(position + values.shape[1] for position, values in pieces)
    if seconds is not None:
        end = min(end, math.ceil(seconds * rate))
    samples = np.zeros((pieces[0][1].shape[0], max(0, end - begin)), np.float32)
    for position, values in pieces:
        first, last = max(position, begin), min(position + values.shape[1], end)
        if first < last:
            samples[:, first - begin : last - begin] = values[:, first - position : last - position]
    return Sound(samples, rate, begin / rate)
