"""What a run changes in its process and puts back: accelerate, deterministic kernels, signal handlers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized

from unicode_cmg.errors import InputError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal ended the run after a complete step.

    Attributes:
        signal: Number of the signal (SIGINT or SIGTERM).
        step: Steps done.
        checkpoint: The checkpoint written before leaving; `resume="auto"` continues from it.
    """

    def __init__(self, signal: int, *, step: int, checkpoint: Path) -> None:
        self.signal, self.step, self.checkpoint = signal, step, checkpoint
        super().__init__(f"interrupted after step {step}; continue from {checkpoint}")


@contextmanager
def accelerated(precision: str) -> Iterator[Accelerator]:
    """An `Accelerator` for the block: the device, mixed precision and the ranks of this process.

    Accelerate keeps its settings in a global of the process; where it was not in use before the block, it is
    not in use after it, so that another run may ask for another precision.

    Raises:
        InputError: The precision needs a GPU, or the process already uses accelerate with another one.
    """
    ours = not is_initialized()
    try:
        try:
            accelerator = Accelerator(mixed_precision=precision)
        except ValueError as error:
            raise _unusable(precision, str(error)) from None
        if precision == "fp16" and accelerator.scaler is None:  # accelerate would train in float32 unasked
            raise _unusable(precision, f"it needs a GPU, and this is a {accelerator.device.type}")
        yield accelerator
    finally:
        if ours:
            AcceleratorState._reset_state()


def _unusable(precision: str, why: str) -> InputError:
    return InputError(
        f"'{precision}' cannot be used here ({why})",
        where="training.precision",
        fix="set training.precision to 'bf16' or 'no'",
    )


@contextmanager
def reproducible(active: bool) -> Iterator[None]:
    """Let torch refuse kernels whose result varies from run to run, where `active`."""
    if not active:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


class Stopped(KeyboardInterrupt):
    """A second signal: the process leaves at once, without a checkpoint.

    Attributes:
        signal: Number of the signal.
    """

    def __init__(self, signal: int) -> None:
        self.signal = signal
        super().__init__("interrupted at once; the last checkpoint is the newest in the run's folder")


class StopRequest:
    """Within the block, a first SIGINT or SIGTERM only sets `received`; a second raises `Stopped`.

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
            raise Stopped(number)
        self.received = number

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}
