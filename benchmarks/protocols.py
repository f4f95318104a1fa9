"""Which rows train a head, which choose its epoch, which are reported - and what that leaks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.heads import HeadConfig
from benchmarks.objectives import ClassifyClips, Objective


@dataclass(frozen=True)
class Protocol:
    """How a number comes about.

    Attributes:
        name: As on the command line.
        train: Split whose rows, in the source modality, train the head.
        select: Split whose rows choose the epoch.
        select_on: The modality in which they do: the source's, or the target's.
        report: Split whose rows, in the target modality, are reported.
        drop_shared: Leave out rows whose video also occurs in another split.
        head: How heads are trained unless the caller says otherwise.
        objective: What heads learn and how they are judged.
        leaks: Why its numbers are too good, as sentences; empty for a clean protocol.
        departures: Where it differs from what it reproduces.
    """

    name: str
    train: str
    select: str
    select_on: Literal["source", "target"]
    report: str
    drop_shared: bool
    head: HeadConfig
    objective: Objective
    leaks: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits it reads."""
        return tuple(dict.fromkeys((self.train, self.select, self.report)))

    def reporting_on(self, split: str) -> Protocol:
        """The same protocol with its numbers from another split, such as `"val"` to choose settings."""
        if split == self.report:
            return self
        return replace(self, name=f"{self.name}, reported on {split}", report=split)


HELD_OUT = Protocol(
    name="held-out",
    train="train",
    select="val",
    # Cross-modal generalization means that no label of the target modality is available; choosing the epoch
    # by target accuracy, even on validation clips, would use them.
    select_on="source",
    report="test",
    drop_shared=True,
    head=HeadConfig(),
    objective=ClassifyClips(),
)
"""The clean protocol, for tasks that classify clips; other tasks replace what differs."""

DEPARTURES = (
    "P7: the released scripts leave the frozen encoder in training mode while the head trains,"
    " so that dropout jitters its codes; here it is always in evaluation mode.",
    "P16: the released scripts make one run with seed 43;"
    " here every seed that was asked for is run and the mean reported.",
)
"""Where the `paper` protocol of every task differs from the released scripts."""
