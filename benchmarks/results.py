"""What an evaluation returns: numbers with everything needed to know how they came about."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from benchmarks.heads import HeadConfig
from unicode_cmg.config import Config


class DirectionResult(Config):
    """One row of a result table."""

    source: str = Field(description="Modality whose codes trained the head.")
    target: str = Field(description="Modality whose codes were classified.")
    kind: Literal["transfer", "same-modality"]
    metric: Literal["accuracy"] = "accuracy"
    mean: float = Field(description="Mean over the seeds, in percent.")
    std: float | None = Field(
        description="Sample standard deviation over the seeds, in points; none for one seed."
    )
    per_seed: tuple[float, ...]
    epochs_selected: tuple[int, ...] = Field(description="Epoch each head was taken from, counted from 1.")


class TOCSummary(Config):
    """Which dimensions of one codebook layer the head saw."""

    layer: str
    kept: int
    n_dims: int
    lam: float
    variant: str
    codebook_sha256: str


class DataSummary(Config):
    """Where the clips came from."""

    root: str = Field(description="Name of the folder.")
    fingerprint: str = Field(description="SHA-256 of ids, labels, splits and a sample of the features.")
    counts: dict[str, int] = Field(description="Clips used of each split.")
    dropped: dict[str, int] = Field(
        description="Clips left out of each split: their video is in another split too."
    )


class CheckpointSummary(Config):
    """Which model made the codes."""

    method: str
    fingerprint: str = Field(description="SHA-256 of all parameters and buffers.")


class Seconds(Config):
    """Wall-clock time."""

    encode: float
    heads: float
    total: float


class TaskResult(Config):
    """The result of one task under one protocol."""

    task: str
    protocol: str
    leaks: tuple[str, ...] = Field(description="Why the numbers are too good; empty for a clean protocol.")
    departures: tuple[str, ...] = Field(description="Where the run differs from the recipe it reproduces.")
    seeds: tuple[int, ...] = Field(description="Seeds of the heads.")
    classes: tuple[str, ...]
    chance: float = Field(description="Percent right when guessing.")
    majority: float = Field(
        description="Percent right when always answering the most frequent training class."
    )
    directions: tuple[DirectionResult, ...]
    permute_codes_seed: int | None = Field(
        None, description="Set for the control experiment in which the target's codes are shuffled."
    )
    toc: tuple[TOCSummary, ...] | None
    head: HeadConfig
    data: DataSummary
    checkpoint: CheckpointSummary
    seconds: Seconds

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: Any, *, where: object = "evaluation result") -> TaskResult:
        """The inverse of `to_json`.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        return cls.parse(values, where=where)

    def direction(self, source: str, target: str) -> DirectionResult:
        """The row of one direction; KeyError if it was not evaluated."""
        for row in self.directions:
            if (row.source, row.target) == (source, target):
                return row
        raise KeyError(f"{source}->{target}")

    def table(self) -> str:
        """A Markdown table that also reads well as plain text."""
        rows: list[tuple[str, str, str, str]] = [("direction", "accuracy %", "std", "kind")]
        for row in self.directions:
            std = "-" if row.std is None else f"{row.std:.1f}"
            rows.append((f"{row.source} -> {row.target}", f"{row.mean:.1f}", std, row.kind))
        rows.append(("chance", f"{self.chance:.1f}", "-", "floor"))
        rows.append(("majority class", f"{self.majority:.1f}", "-", "floor"))
        w = [max(map(len, column)) for column in zip(*rows, strict=True)]
        grid = [f"| {a:<{w[0]}} | {b:>{w[1]}} | {c:>{w[2]}} | {d:<{w[3]}} |" for a, b, c, d in rows]
        grid.insert(1, f"|:{'-' * (w[0] + 1)}|{'-' * (w[1] + 1)}:|{'-' * (w[2] + 1)}:|:{'-' * (w[3] + 1)}|")
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"
        lines = [f"{self.task}, protocol {self.protocol}, {seeds}, {len(self.classes)} classes"]
        if self.toc is not None:
            kept = (f"{t.layer} {t.kept} of {t.n_dims} dimensions" for t in self.toc)
            lines.append(f"TOC: {', '.join(kept)}")
        if self.permute_codes_seed is not None:
            lines.append("CONTROL: the codes of the target modality are shuffled")
        lines += [f"LEAK {leak}" for leak in self.leaks]
        return "\n".join([*lines, "", *grid])
