"""Which rows train a head, which choose its epoch, which are reported - and what that leaks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from benchmarks.evaluation.objectives import ClassifyClips, Objective
from unicode_cmg.errors import InputError
from unicode_cmg.results import HeadConfig


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a number comes about.

    Attributes:
        name: As on the command line.
        report: Split whose rows are reported.
        validation: Split to report on instead while settings are chosen; None if the data has none.
        drop_shared: Leave out rows whose video also occurs in another split.
        head: How heads are trained unless the caller says otherwise; None where codes are judged without.
        leaks: Why its numbers are too good, as sentences; empty for a clean protocol.
        departures: Where it differs from what it reproduces.
        cautions: Leaks that lie before it, in how a checkpoint was pretrained and chosen. Whether they apply
            only the owner of the checkpoint knows.
    """

    name: str
    report: str
    validation: str | None = None
    drop_shared: bool
    head: HeadConfig | None = None
    leaks: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits it reads."""
        return (self.report,)

    def departures_at(self, level: str | None) -> tuple[str, ...]:
        """`departures`, and where the level of the codes is not that of what it reproduces.

        Args:
            level: How fine the codes are; None of a model that offers no choice.
        """
        return self.departures

    def reporting_on(self, split: Literal["val", "test"]) -> Protocol:
        """The same protocol with its numbers from validation clips, to choose settings by, or as it is.

        Raises:
            InputError: The data has no validation clips.
        """
        if split == "test":
            return self
        if self.validation is None:
            raise InputError(f"protocol {self.name} of this task has no validation clips")
        return replace(self, name=f"{self.name}, reported on val", report=self.validation)


@dataclass(frozen=True, kw_only=True)
class HeadProtocol(Protocol):
    """A protocol under which heads learn on the codes of the source and are judged on those of the target.

    Attributes:
        train: Split whose rows, in the source modality, train the head.
        select: Split whose rows choose the epoch.
        select_on: The modality in which they do: the source's, or the target's.
        objective: What heads learn and how they are judged.
    """

    train: str
    select: str
    select_on: Literal["source", "target"]
    head: HeadConfig = field(default_factory=HeadConfig)
    objective: Objective

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.train, self.select, self.report)))


HELD_OUT = HeadProtocol(
    name="held-out",
    train="train",
    select="val",
    # Cross-modal generalization means that no label of the target modality is available; choosing the epoch
    # by target accuracy, even on validation clips, would use them.
    select_on="source",
    report="test",
    validation="val",
    drop_shared=True,
    objective=ClassifyClips(),
)
"""The clean protocol, for tasks that classify clips; other tasks replace what differs."""

PAPER = HeadProtocol(
    name="paper",
    train="all",
    select="all",
    select_on="target",
    report="all",
    drop_shared=False,
    head=HeadConfig(epochs=25, milestones=(10, 20, 30)),
    objective=ClassifyClips(),
    departures=(
        "P7: the released scripts leave the frozen encoder in training mode while the head trains,"
        " so that dropout jitters its codes; here it is always in evaluation mode.",
        "P16: the released scripts make one run with seed 43;"
        " here every seed that was asked for is run and the mean reported.",
    ),
)
"""The recipe of the released scripts, for tasks that classify clips; each task adds its leaks."""

BACKGROUND_COUNTS = (
    "P5: background counts as a class, and precision and recall are averages over batches of 80 clips."
)

DIMENSIONS_CHOSEN = (
    "P11: printed numbers with TOC use the number of dimensions that was best on the test clips,"
    " chosen anew for each task and direction.",
)
"""What a selection of dimensions may carry into a result."""


def best_epoch(metric: str) -> str:
    """The leak of choosing the epoch on the reported clips."""
    best = metric.replace("f1", "F1")
    return (
        f"P3: the reported epoch is the one with the best {best} on the very rows that are reported,"
        " which uses labels of the target modality."
    )


def by_name(*protocols: Protocol, cautions: tuple[str, ...] = ()) -> dict[str, Protocol]:
    """Name -> protocol of a task.

    Args:
        protocols: The protocols of the task.
        cautions: Cautions of the task, beside the one that the released checkpoints carry into every task.
    """
    by_ave = (
        "P2: released checkpoints were chosen among pretraining epochs by their AVE score, and those of FCID"
        " among steps, by task; such a checkpoint has seen the AVE labels."
    )
    return {rule.name: replace(rule, cautions=(by_ave, *cautions)) for rule in protocols}
