"""What is shown while clips pass through a model: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class ClipProgress:
    """Progress on standard error.

    Args:
        show: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.
        total: Clips in all.
    """

    def __init__(self, show: bool | None, *, total: int) -> None:
        self._lines = show is None and not sys.stderr.isatty()
        hidden = show is False or self._lines
        self._bar = tqdm(total=total, unit="clip", disable=hidden, dynamic_ncols=True, file=sys.stderr)
        self._total, self._done = total, 0
        self._started = self._last_line = time.monotonic()

    def advance(self, clips: int) -> None:
        """So many more clips are done."""
        self._bar.update(clips)
        self._done += clips
        now = time.monotonic()
        if self._lines and (self._done == self._total or now - self._last_line >= _SECONDS_BETWEEN_LINES):
            self._last_line = now
            line = f"encoded {self._done}/{self._total} clips, {now - self._started:.0f} s"
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
