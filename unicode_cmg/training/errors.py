"""The two ways a run ends early."""

from __future__ import annotations

from pathlib import Path

from unicode_cmg.errors import InputError


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
