"""Tiny clips with a flash and a beep, and encoders that show in which step they are."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.extract.media import Frames, Grid, Sound, Text

RATE = 8000


def write_video(
    path: Path,
    *,
    seconds: float = 6,
    flash: float = 3,
    beep: float | None = 3,
    times: Sequence[float] | None = None,
    rotation: int = 0,
    late: float = 0.0,
    size: tuple[int, int] = (48, 32),
    options: dict[str, str] | None = None,
) -> Path:
    """A dark video that is white for one second, five frames a second, with a tone for one second.

    Args:
        path: The file to write.
        seconds: Its length.
        flash: When it is white.
        beep: When the tone is heard; None for a video without sound.
        times: Times of its frames; every fifth of a second by default.
        rotation: Degrees by which players turn it, counterclockwise.
        late: Seconds by which pictures start after the sound.
        size: Width and height.
        options: Of the container.
    """
    import av

    clock = Fraction(1, 1000)
    with av.open(str(path), "w", container_options=options or {}) as container:
        video: Any = container.add_stream("mpeg4", rate=5)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base, video.codec_context.gop_size = clock, 6
        if rotation:
            video.set_display_rotation(rotation)
        sound: Any = None
        if beep is not None:
            sound = container.add_stream("aac", rate=RATE)
            sound.layout = "mono"
        for time in np.arange(0, seconds, 0.2) if times is None else times:
            white = flash <= time + 1e-6 < flash + 1
            image = np.full((size[1], size[0], 3), 255 if white else 0, np.uint8)
            image[: size[1] // 4, : size[0] // 4, 0] = 255  # the corner on top at the left is red
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round((time + late) * 1000), clock
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            samples = tone(seconds, beep or 0)
            for start in range(0, len(samples), 1024):
                piece = av.AudioFrame.from_ndarray(
                    samples[None, start : start + 1024], format="fltp", layout="mono"
                )
                piece.sample_rate, piece.pts, piece.time_base = RATE, start, Fraction(1, RATE)
                container.mux(sound.encode(piece))
            container.mux(sound.encode())
    return path


def tone(seconds: float, beep: float, rate: int = RATE) -> Any:
    """Silence with one second of a tone, `[samples]`."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * time) * ((time >= beep) & (time < beep + 1))).astype(np.float32)


def write_sound(path: Path, samples: Any = None, rate: int = RATE, **options: Any) -> Path:
    """An audio file of `[samples]` or `[samples, channels]`; by default a beep in second 3 of 6."""
    import soundfile

    soundfile.write(path, tone(6, 3, rate) if samples is None else samples, rate, **options)
    return path


def loudness(sound: Sound, grid: Grid) -> Any:
    """`[T, 1]`, the largest amplitude of each step."""
    result = np.zeros((grid.steps, 1), np.float32)
    for step, start in enumerate(grid.starts):
        first, last = (
            max(0, round((at - sound.start) * sound.rate)) for at in (start, start + 1 / grid.per_second)
        )
        result[step] = np.abs(sound.samples[:, first:last]).max(initial=0)
    return result


def brightness(frames: Frames, grid: Grid) -> Any:
    """`[T, 1]`, the mean of the last image of each step, between 0 and 1."""
    result = np.zeros((grid.steps, 1), np.float32)
    for image, step in zip(frames.images, grid.step_of(frames.seconds), strict=True):
        result[step] = image.mean() / 255
    return result


def word_lengths(text: Text, grid: Grid) -> Any:
    """`[words, 1]`, the length of each word."""
    return np.array([[len(word)] for sentence in text.sentences for word in sentence.split()], np.float32)
