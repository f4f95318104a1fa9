"""Stopping at the first NaN or infinity, without making a GPU wait for the host at every step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unicode_cmg.training.errors import NonFiniteLoss


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
