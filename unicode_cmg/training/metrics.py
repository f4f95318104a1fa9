"""What a run measures: finite values, means since the last log line, and metrics.jsonl (and TensorBoard)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import ConfigDict, Field
from torch import Tensor

from unicode_cmg.config import Config, flat
from unicode_cmg.errors import InputError
from unicode_cmg.files import disk_errors, parse_json, read_text, write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class NonFiniteLoss(InputError):
    """A loss or a gradient became NaN or infinite; nothing was saved after it."""

    def __init__(self, name: str, *, step: int, checkpoint: Path | None) -> None:
        self.name, self.step, self.checkpoint = name, step, checkpoint
        kept = (
            "no checkpoint was written yet"
            if checkpoint is None
            else f"the last good checkpoint is {checkpoint}"
        )
        super().__init__(
            f"'{name}' is NaN or infinite at step {step}",
            fix=f"lower optimizer.lr, or look for NaN in the features; {kept}",
        )


class FiniteGuard:
    """Watches named scalars of every step.

    Args:
        wait: Whether to look at once, which costs nothing on the CPU. Otherwise the first step with a value
            that is not finite, and which one, are noted on the device, and `check` reads the note. The fit
            loop checks at log steps and before each checkpoint, so none is ever written after a NaN.

    Attributes:
        checkpoint: The last checkpoint written, for the error message.
    """

    def __init__(self, *, wait: bool = True) -> None:
        self._wait = wait
        self.checkpoint: Path | None = None
        self._notes: dict[tuple[str, ...], tuple[Bool[Tensor, " names"], Int64[Tensor, ""]]] = {}

    def watch(self, values: Mapping[str, Float[Tensor, ""]], *, step: int) -> None:
        """Look at the values of a step.

        Raises:
            NonFiniteLoss: One is NaN or infinite, and the guard waits for them.
        """
        if not values:
            return
        names = tuple(values)
        bad = ~torch.isfinite(torch.stack(list(values.values())))
        if not self._wait:
            noted, at = self._notes.get(names) or (
                torch.zeros_like(bad),
                torch.zeros((), dtype=torch.int64, device=bad.device),
            )
            first = bad.any() & ~noted.any()
            self._notes[names] = torch.where(first, bad, noted), torch.where(first, step, at)
        elif bad.any():
            self._stop(names, bad, step)

    def check(self) -> None:
        """Read the notes from the device.

        Raises:
            NonFiniteLoss: A value was NaN or infinite in some step since the start.
        """
        steps = [(int(at), names, bad) for names, (bad, at) in self._notes.items() if bad.any()]
        if steps:
            step, names, bad = min(steps, key=lambda found: found[0])
            self._stop(names, bad, step)

    def _stop(self, names: tuple[str, ...], bad: Bool[Tensor, " names"], step: int) -> None:
        raise NonFiniteLoss(names[int(bad.nonzero()[0])], step=step, checkpoint=self.checkpoint)


class Window:
    """Sums of named scalars since the last `close`; a change of names starts a new window."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sum: Float[Tensor, " names"] | None = None
        self._steps = 0

    def add(self, values: Mapping[str, Float[Tensor, ""]]) -> None:
        """Take in the values of one step; nothing is read from the device."""
        stacked = torch.stack([value.detach().float() for value in values.values()])
        if self._sum is None or self._names != tuple(values):
            self._names, self._sum, self._steps = tuple(values), stacked, 1
        else:
            self._sum, self._steps = self._sum + stacked, self._steps + 1

    def means(self) -> Float[Tensor, " names"]:
        """Mean of every name over the window, on the device; at least one step must have been added."""
        if self._sum is None:
            raise RuntimeError("the window is empty")
        return self._sum / self._steps

    def close(self, means: Float[Tensor, " names"]) -> dict[str, dict[str, float]]:
        """`means` as numbers, grouped by what precedes the first `/` of a name; the window is then empty."""
        grouped: dict[str, dict[str, float]] = {}
        for name, value in zip(self._names, means.tolist(), strict=True):
            group, _, rest = name.partition("/")
            grouped.setdefault(group, {})[rest] = value
        self._sum = None
        return grouped

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values that `restore` takes back."""
        tensors = {} if self._sum is None else {"sum": self._sum}
        return tensors, {"names": list(self._names), "steps": self._steps}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any], device: torch.device) -> None:
        """Continue the window that `state` described."""
        self._names, self._steps = tuple(values["names"]), values["steps"]
        self._sum = tensors["sum"].to(device) if "sum" in tensors else None


class MetricsLine(Config):
    """A line of `metrics.jsonl`; numbers that are not finite were written as null."""

    model_config = ConfigDict(extra="allow")

    step: int = Field(ge=0, lt=2**63)
    epoch: int | None = None
    seconds: float = 0.0
    data_wait: float | None = Field(None, description="Share of the time since the last line: no batch read.")
    lr: float | None = None
    loss: dict[str, float | None] | None = None
    gradient_norm: dict[str, float | None] | None = None
    codebook: dict[str, float | None] | None = None
    validation: dict[str, float | None] | None = None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line without its end was cut off when the run stopped, and is left out.

    Raises:
        InputError: A line is not what `MetricsLog` writes.
    """
    if path.stat().st_size == 0:
        return []
    lines = []
    for number, line in enumerate(read_text(path).split("\n")[:-1], start=1):
        where = f"{path}: line {number}"
        lines.append(parse_json(line, where=where))
        MetricsLine.parse(lines[-1], where=where)
    return lines


class MetricsLog:
    """The log of a run, continued after a step.

    Args:
        path: The file; lines of later steps, and one that a killed process left unfinished, are dropped.
        after_step: Steps that the continued run has done; 0 starts the file anew.
        tensorboard: Folder for TensorBoard, or None.

    Attributes:
        last: The newest line that has losses, or None.
        kept: The lines of a continued run.

    Raises:
        InputError: The file is damaged, TensorBoard is wanted and not installed, or the disk is full or not
            writable.
    """

    def __init__(self, path: Path, *, after_step: int, tensorboard: Path | None = None) -> None:
        self.last: dict[str, Any] | None = None
        self._path = path
        kept = []
        self.kept: list[dict[str, Any]] = []
        for entry in read_metrics(path) if path.exists() else ():
            if entry["step"] > after_step:
                break
            kept.append(json.dumps(entry, allow_nan=False))
            self.kept.append(entry)
            self.last = entry if "loss" in entry else self.last
        self._writer = None if tensorboard is None else tensorboard_writer(tensorboard, after_step=after_step)
        write_text(path, "".join(line + "\n" for line in kept))

    def write(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Append a line and return it; a number that JSON has no word for becomes null.

        Raises:
            InputError: The disk is full or not writable.
        """
        entry = _plain(entry)
        self.last = entry if "loss" in entry else self.last
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
        if self._writer is not None:
            for name, value in flat(entry, separator="/").items():
                if value is not None and name != "step":
                    self._writer.add_scalar(name, float(value), entry["step"])
        return entry

    def close(self) -> None:
        """Bring everything to disk."""
        if self._writer is not None:
            self._writer.close()


def tensorboard_writer(folder: Path, *, after_step: int) -> SummaryWriter:
    """A writer that hides what an earlier process wrote for later steps.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "TensorBoard is not installed",
            where="training.tensorboard",
            fix="pip install 'unicode-cmg[tensorboard]', or set it to false",
        ) from None
    return SummaryWriter(str(folder), purge_step=after_step + 1)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
