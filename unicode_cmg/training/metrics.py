"""metrics.jsonl: one JSON object a line, appended; the same for TensorBoard on request."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unicode_cmg.errors import InputError
from unicode_cmg.files import disk_errors, write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """The log of a run, continued after a step.

    Args:
        path: The file; lines of later steps, and one that a killed process left unfinished, are dropped.
        after_step: Steps that the continued run has done; 0 starts the file anew.
        tensorboard: Folder for TensorBoard, or None.

    Attributes:
        last: The newest line that has losses, or None.

    Raises:
        InputError: TensorBoard is wanted and not installed, or the disk is full or not writable.
    """

    def __init__(self, path: Path, *, after_step: int, tensorboard: Path | None = None) -> None:
        self.last: dict[str, Any] | None = None
        self._path = path
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                break
            if entry["step"] > after_step:
                break
            kept.append(line)
            self.last = entry if "loss" in entry else self.last
        self._writer = None if tensorboard is None else tensorboard_writer(tensorboard, after_step=after_step)
        write_text(path, "".join(line + "\n" for line in kept))

    def write(self, entry: dict[str, Any]) -> None:
        """Append a line; a number that JSON has no word for becomes null.

        Raises:
            InputError: The disk is full or not writable.
        """
        entry = _plain(entry)
        self.last = entry if "loss" in entry else self.last
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
        if self._writer is not None:
            for name, value in _scalars(entry):
                self._writer.add_scalar(name, value, entry["step"])

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


def _scalars(entry: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Every number of a line under its path, such as `loss/cpc`."""
    found = []
    for key, value in entry.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{prefix}{key}/")
        elif value is not None and prefix + key != "step":
            found.append((prefix + key, float(value)))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
