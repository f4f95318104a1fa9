"""Progress on standard error: a bar with figures below it on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from typing import NoReturn

from tqdm import tqdm

from unicode_cmg.errors import printable


class Progress:
    """How far a loop has come, and how long the rest will take.

    Args:
        show: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.
        total: Units in all, such as steps or clips.
        unit: What is counted, in the singular.
        done: Units done before.

    Attributes:
        total: Units in all.
        done: Units done so far.
    """

    def __init__(self, show: bool | None, *, total: int, unit: str, done: int = 0) -> None:
        self._lines = show is None and not sys.stderr.isatty()
        self._hidden = show is False or self._lines
        self.total, self.done, self._first = total, done, done
        self._started, self._last_line = time.monotonic(), 0.0
        self._bar = tqdm(
            total=total, initial=done, unit=unit, disable=self._hidden, dynamic_ncols=True, file=sys.stderr
        )
        self._rows: list[tqdm[NoReturn]] = []

    @property
    def seconds(self) -> float:
        """Time since it was made."""
        return time.monotonic() - self._started

    def advance(self, count: int = 1) -> None:
        """So many more units are done."""
        self._bar.update(count)
        self.done += count

    def report(self, position: str, figures: str = "", *, every: int | float = 0.0) -> None:
        """Show figures below the bar, or write a plain line with what is done and the time left.

        Args:
            position: What is done, for the plain line; a terminal has the bar for it.
            figures: What was measured.
            every: Seconds between plain lines; the last one is always written.
        """
        if not self._hidden:
            self._show_below(printable(figures))
        if self._lines and (self.done == self.total or self.seconds - self._last_line >= every):
            self._last_line = self.seconds
            left = f", about {self._time_left()} left" if self.done < self.total else ""
            line = position + left + (f": {figures}" if figures else "")
            print(printable(line), file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Write a line, above the bar if there is one; nothing where nothing is shown."""
        if self._lines:
            print(printable(text), file=sys.stderr, flush=True)
        elif not self._hidden:
            self._bar.write(printable(text), file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
        for row in self._rows:
            row.close()

    def _show_below(self, figures: str) -> None:
        """The figures in as many rows as the width of the terminal needs."""
        texts = textwrap.wrap(figures, max(20, shutil.get_terminal_size().columns - 1))
        while len(self._rows) < len(texts):
            self._rows.append(
                tqdm(bar_format="{desc}", position=len(self._rows) + 1, file=sys.stderr, dynamic_ncols=True)
            )
        for number, row in enumerate(self._rows):
            row.set_description_str(texts[number] if number < len(texts) else "")

    def _time_left(self) -> str:
        seconds = self.seconds * (self.total - self.done) / max(1, self.done - self._first)
        if seconds < 90:
            return f"{seconds:.0f} s"
        return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
