"""A file of sound and video, opened by PyAV: frames of a stream with their times on the common clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from unicode_cmg.extract.decoding.file import decoder
from unicode_cmg.extract.faults import MediaError

_BUFFER = 1 << 18
_UNSAID = ("aac", "ac3", "amr", "dts", "eac3")
"""Formats in which nothing says how long a file is; FFmpeg guesses it from the first frames and the size."""
_EARLY = 0.5  # seconds by which a stream may end before the end that its header names


class Container:
    """A container. Second 0 is where its first stream starts, as players have it.

    Args:
        file: A file name or a stream of bytes.

    Attributes:
        file: The container of PyAV.
        origin: What its time stamps, in seconds, say for second 0.
    """

    def __init__(self, file: Any) -> None:
        av = decoder("av")
        # as a stream, and without protocols: a playlist could name any file, or any host
        with ExitStack() as held:
            stream = held.enter_context(Path(file).open("rb")) if isinstance(file, str) else file
            options = {"protocol_whitelist": "none"}
            self.file = held.enter_context(
                av.open(stream, mode="r", metadata_errors="ignore", options=options, buffer_size=_BUFFER)
            )
            self._held = held.pop_all()
        self.origin: float = (self.file.start_time or 0) / av.time_base

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def frames_from(self, stream: Any, start: float) -> Iterator[tuple[Any, float]]:
        """Frames in the order of their times, the first at or before second `start`, if there is one.

        Yields:
            The frame, and its second in the file.
        """
        if start > 0 and self._seek(start):
            frames = self._decode(stream)
            first = next(frames, None)
            if first is not None and first[1] <= start:
                yield first
                yield from frames
                return
            self.file.seek(0, backward=True)  # it landed behind: read from the beginning
        yield from self._decode(stream)

    def check_end(self, stream: Any, end: float, wanted: float | None) -> None:
        """Refuse a stream that ends before its header says.

        Args:
            stream: The stream, read to its end.
            end: The second at which its last frame ends.
            wanted: The second up to which it is wanted; None for all of it.

        Raises:
            MediaError: It is truncated.
        """
        named = seconds_of(self, stream)
        if named is None:
            return
        due = named if wanted is None else min(named, wanted)
        if end < due - max(_EARLY, 0.02 * named):
            raise MediaError("truncated", f"it ends after {max(end, 0):.2f} s of {named:.2f} s")

    def starts(self, stream: Any) -> float:
        """The second at which a stream starts."""
        if stream.start_time is None or stream.time_base is None:
            return 0.0
        return float(stream.start_time * stream.time_base) - self.origin

    def _seek(self, start: float) -> bool:
        av = decoder("av")
        try:
            self.file.seek(int((start + self.origin) * av.time_base), backward=True)
        except (av.error.FFmpegError, OSError, ValueError):
            return False
        return True

    def _decode(self, stream: Any) -> Iterator[tuple[Any, float]]:
        end = 0.0
        for frame in self.file.decode(stream):
            if frame.time is not None:
                end = frame.time - self.origin
            yield frame, end
            if stream.type == "audio":
                end += frame.samples / frame.sample_rate  # for a frame without a time


def seconds_of(container: Container, stream: Any) -> float | None:
    """The second at which a stream ends, as the header says; None if it does not."""
    if container.file.format.name in _UNSAID:
        return None
    if stream.duration is not None and stream.time_base is not None and stream.duration > 0:
        return container.starts(stream) + float(stream.duration * stream.time_base)
    named = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if named is not None:  # Matroska
        return int(named[1]) * 3600 + int(named[2]) * 60 + float(named[3])
    if len(container.file.streams) == 1 and container.file.duration:
        return float(container.file.duration / decoder("av").time_base)
    return None


def stream_seconds(container: Container, stream: Any) -> float:
    """The second at which a stream ends: as the header says, else that of the last packet."""
    said = seconds_of(container, stream) or 0.0
    if said and container.file.format.name != "mp3":  # whose header is optional
        return said
    end = 0.0
    for packet in container.file.demux(stream):
        if packet.pts is not None and packet.time_base is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    container.file.seek(0, backward=True)
    return max(said, end - container.origin)
