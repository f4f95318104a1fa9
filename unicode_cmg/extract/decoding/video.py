"""Frames of a video at given times, by their time stamps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from unicode_cmg.extract.decoding.container import Container, seconds_of, stream_seconds
from unicode_cmg.extract.decoding.file import Page, decoding, opened
from unicode_cmg.extract.faults import MediaError
from unicode_cmg.extract.media import Frames

_MOST_PIXELS = 100_000_000
_SHORT_SIDE = 512
"""Pixels to which the shorter side of larger frames is reduced: ten seconds of 4K would be gigabytes."""


def read_frames(
    place: Path | Page, root: Path, start: float, times: Float64[np.ndarray, " frames"]
) -> Frames:
    """What a video shows at given times: for each time the last frame that began before or at it.

    Frames in between are decoded, but not kept. They are turned as the file says, and larger ones are reduced
    to 512 pixels at the shorter side.

    Args:
        place: A video.
        root: The folder that it may not leave.
        start: Second of the file at which the clip starts.
        times: Seconds in the clip, ascending.

    Returns:
        The images for those times at which the video lasts.

    Raises:
        MediaError: It is not readable, has no pictures, is truncated, or is too large.
        SetupError: PyAV is not installed.
    """
    with decoding("video", place), Container(opened(place, root)) as container:
        stream = _stream(container)
        images, shown, end = _images(container, stream, start, times)
    if not shown and end > start:
        raise MediaError("too short", "its pictures last for less than half a step")
    if not shown:
        what = f"there is no frame after second {start:g}" if start else "there is not a single frame in it"
        raise MediaError("empty", what)
    return Frames(np.stack(images), np.asarray(shown, np.float64))


def video_seconds(place: Path | Page, root: Path) -> float:
    """The length of the pictures of a video; errors as in `read_frames`."""
    with decoding("video", place), Container(opened(place, root)) as container:
        stream = _stream(container)
        return stream_seconds(container, stream)


def _stream(container: Container) -> Any:
    if not container.file.streams.video:
        raise MediaError("no picture", "there is no video in it")
    stream = container.file.streams.video[0]
    if not stream.codec_context:
        raise MediaError("unreadable", "its video is of an unknown kind")
    if stream.codec_context.width * stream.codec_context.height > _MOST_PIXELS:
        size = f"{stream.codec_context.width}x{stream.codec_context.height}"
        raise MediaError("too large", f"frames of {size} pixels")
    stream.codec_context.thread_count = 1  # clips are decoded side by side
    return stream


def _images(
    container: Container, stream: Any, start: float, times: Float64[np.ndarray, " frames"]
) -> tuple[list[UInt8[np.ndarray, "height width 3"]], list[float], float]:
    """The images, the times at which they are shown, and the second at which those that were read end."""
    images: list[UInt8[np.ndarray, "height width 3"]] = []
    shown: list[float] = []
    last, began, length, end, waiting = None, 0.0, 0.0, 0.0, list(times)

    def show(until: float) -> None:
        """Keep the frame for the times before `until`."""
        image = None
        while waiting and start + waiting[0] < until:
            time = waiting.pop(0)
            if last is not None and began <= start + time:
                image = _upright(last) if image is None else image
                if images and image.shape != images[0].shape:
                    raise MediaError(
                        "unreadable", f"its frames change from {images[0].shape} to {image.shape}"
                    )
                images.append(image)
                shown.append(float(time))

    for frame, time in container.frames_from(stream, start):
        if last is not None:
            length = time - began
            show(time)
        last, began = frame, time
        if not waiting:
            return images, shown, began
    if last is not None:
        own = float(last.duration * last.time_base) if last.duration and last.time_base else 0.0
        end = began + (own or length)
        named = seconds_of(container, stream)
        if named is not None and 0 < named - end < 1.5 * max(own, length):
            end = named  # a last frame that is shown for longer, as the header says
        show(end)
    if waiting:
        container.check_end(stream, began + length, start + float(times[-1]))
    return images, shown, end


def _upright(frame: Any) -> UInt8[np.ndarray, "height width 3"]:
    scale = min(1.0, _SHORT_SIDE / min(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    image: UInt8[np.ndarray, "height width 3"] = frame.to_ndarray(
        format="rgb24", width=width, height=height, interpolation="AREA" if scale < 1 else None
    )
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
