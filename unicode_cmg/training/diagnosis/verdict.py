"""What was found of a run, and the verdict over it, which the run keeps in `verdict.json`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, NonNegativeInt

from unicode_cmg.config import Config
from unicode_cmg.files import read_json, write_json

VERDICT = "verdict.json"

Kind = Literal[
    "constant-features",
    "unscaled-features",
    "short-warm-up",
    "late-terms",
    "single-clip-batches",
    "diverging",
    "guessing",
    "unused-codes",
    "few-codes",
    "unrelated-codes",
    "disjoint-codes",
    "large-gradients",
    "growing-term",
    "dominant-term",
]
"""What can be found, causes before consequences. Each has an entry in docs/guide/troubleshooting.md."""

_UNTRAINED: tuple[Kind, ...] = ("short-warm-up", "late-terms", "single-clip-batches")

FindingT = TypeVar("FindingT", bound="Finding")


class Finding(Config):
    """Something that a run's numbers say."""

    kind: Kind = Field(description="heading of its entry in the guide on troubleshooting")
    bad: bool = Field(description="whether the model is unlikely to be of use; otherwise it is a note")
    what: str = Field(description="what was found, with the numbers")
    fix: str = Field(description="what to try")
    step: NonNegativeInt = Field(default=0, description="step at which it was found; 0: before the first")

    @property
    def line(self) -> str:
        """What is printed when it is found."""
        return f"{'warning' if self.bad else 'note'}: {self.sentence} [{self.kind}]"

    @property
    def sentence(self) -> str:
        """What was found, and what to try."""
        return f"{self.what}; try {self.fix}"

    def at(self: FindingT, step: int) -> FindingT:
        """The same, found at this step."""
        return self.model_copy(update={"step": step})


class Verdict(Config):
    """What is to be thought of a run, and why.

    `findings` are those that hold at `step`; `passed` are those that were found before and no longer hold.
    """

    format_version: Literal[1] = 1
    step: NonNegativeInt = Field(description="steps trained when it was given")
    steps: NonNegativeInt = Field(description="steps of the whole run")
    findings: tuple[Finding, ...] = ()
    passed: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding], passed: Iterable[Finding], *, step: int, steps: int) -> Verdict:
        """The verdict over these findings, what matters most first."""
        order = {kind: number for number, kind in enumerate(Kind.__args__)}  # type: ignore[attr-defined]
        ranked = sorted(findings, key=lambda finding: (not finding.bad, order[finding.kind]))
        return cls(step=step, steps=steps, findings=tuple(ranked), passed=tuple(passed))

    @property
    def finished(self) -> bool:
        """Whether the run had come to its end."""
        return self.step >= self.steps

    @property
    def healthy(self) -> bool:
        """Whether no bad finding holds."""
        return not any(finding.bad for finding in self.findings)

    @property
    def sentence(self) -> str:
        """`healthy`, or what is wrong with the run and what to try."""
        if self.healthy:
            return "healthy"
        worst = self.findings[0]
        return f"{'untrained' if worst.kind in _UNTRAINED else 'collapsed'}: {worst.sentence}"

    @property
    def text(self) -> str:
        """A line for people, which follows the lines of the single findings."""
        return f"verdict: {self.sentence}" + ("" if self.healthy else f" [{self.findings[0].kind}]")

    def to_json(self) -> dict[str, object]:
        """Plain values, with the verdict in words beside what `read_verdict` needs."""
        return {"verdict": self.sentence, "healthy": self.healthy, **super().to_json()}


def write_verdict(run: Path, verdict: Verdict) -> None:
    """Write `verdict.json` of a run."""
    write_json(run / VERDICT, verdict.to_json())


def read_verdict(run: Path) -> Verdict | None:
    """The verdict of a run; None if it has none.

    Raises:
        InputError: The file is damaged.
    """
    file = run / VERDICT
    if not file.is_file():
        return None
    values = read_json(file)
    if isinstance(values, dict):  # what follows from the rest
        values = {key: value for key, value in values.items() if key not in ("verdict", "healthy")}
    return Verdict.parse(values, where=file)
