"""Stopping on SIGINT and SIGTERM: the first asks for an orderly end, the second leaves at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within the block, a first SIGINT or SIGTERM only sets `received`; a second raises KeyboardInterrupt.

    The handlers that were there before come back on the second signal and at the end of the block. Outside
    the main thread Python allows no handlers, and nothing is caught.

    Attributes:
        received: Number of the signal that asked for the end, or None.
    """

    received: int | None = None

    def __enter__(self) -> StopRequest:
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._put_back()
            raise KeyboardInterrupt
        self.received = number

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}
