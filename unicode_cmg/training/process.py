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
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized

from unicode_cmg.errors import InputError, RankLost

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
    not in use after it, so that another run may ask for another precision. So is the group of the ranks.

    Raises:
        InputError: The precision needs a GPU, the process already uses accelerate with another one, or a
            launcher was to start several processes that work together, and they do not.
        RankLost: Another rank of the job has ended.
    """
    _check_launcher()
    ours, grouped = not is_initialized(), dist.is_available() and dist.is_initialized()
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    try:
        try:
            # without being told, accelerate lets ranks without a GPU train alone
            accelerator = Accelerator(
                mixed_precision=precision, cpu=several and not torch.cuda.is_available()
            )
        except ValueError as error:
            if "torch.distributed" in str(error):
                fix = "start the processes with torchrun, see docs/guide/scaling.md"
                raise InputError(str(error), where="launcher", fix=fix) from None
            raise _unusable(precision, str(error)) from None
        if precision == "fp16" and accelerator.scaler is None:  # accelerate would train in float32 unasked
            raise _unusable(precision, f"it needs a GPU, and this is a {accelerator.device.type}")
        yield accelerator
        if several and not grouped:
            dist.destroy_process_group()
    except RuntimeError as error:
        if several and _is_of_communication(error):
            raise RankLost(
                "another process of the job has ended; run the same command again to continue from the last"
                " checkpoint"
            ) from None
        raise
    finally:
        if ours:
            AcceleratorState._reset_state(reset_partial_state=not grouped)


def _check_launcher() -> None:
    """Refuse processes that were meant to work together and know nothing of each other.

    Raises:
        InputError: They are such.
    """
    known = {"WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"} & set(os.environ)
    if known:
        return
    fix = "torchrun --no-python --nproc-per-node 2 unicode-cmg pretrain ..., see docs/guide/scaling.md"
    if {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= set(os.environ):
        raise InputError(
            "accelerate launch was asked for several processes and has started one", where="launcher", fix=fix
        )
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        raise InputError(
            "srun has started several tasks that know nothing of each other",
            where="launcher",
            expected="one task a node, which starts the others",
            fix="srun --ntasks-per-node 1 " + fix,
        )


def _is_of_communication(error: RuntimeError) -> bool:
    """Whether it says that another rank cannot be reached."""
    return isinstance(error, dist.DistError) or any(word in str(error) for word in ("gloo", "NCCL", "c10d"))


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
