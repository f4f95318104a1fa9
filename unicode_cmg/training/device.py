"""The accelerator of a run, and settings of the process that end with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized

from unicode_cmg.errors import InputError


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
