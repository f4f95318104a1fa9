"""What a run shows while it trains: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


class Progress:
    """Progress on standard error.

    Args:
        show: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.
        total: Steps of the run.
        done: Steps done before.
    """

    def __init__(self, show: bool | None, *, total: int, done: int) -> None:
        self._total = total
        self._lines = show is None and not sys.stderr.isatty()
        hidden = show is False or self._lines
        self._bar = tqdm(
            total=total, initial=done, unit="step", disable=hidden, dynamic_ncols=True, file=sys.stderr
        )

    def advance(self) -> None:
        """One more step is done."""
        self._bar.update()

    def report(self, entry: dict[str, Any]) -> None:
        """Show a line of the metrics."""
        summary = _summary(entry)
        self._bar.set_postfix_str(summary, refresh=False)
        if self._lines:
            position = f"step {entry['step']}/{self._total}, epoch {entry['epoch']}, {entry['seconds']:.0f} s"
            print(f"{position}: {summary}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


def _summary(entry: dict[str, Any]) -> str:
    """Total loss, the sum of each kind of term, and how many codes of each layer are in use."""
    kinds: dict[str, float] = {}
    for term, value in entry["loss"].items():
        kind = term.split("/")[0]
        kinds[kind] = kinds.get(kind, 0.0) + value
    losses = [f"{kind} {value:.4g}" for kind, value in kinds.items()]
    codes = [f"{key} {value:.4g}" for key, value in entry["codebook"].items() if key.endswith("/active")]
    return ", ".join((*losses, *codes))
