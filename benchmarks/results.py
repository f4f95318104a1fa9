"""What an evaluation returns: numbers with everything needed to know how they came about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from benchmarks.heads import HeadConfig
from unicode_cmg.config import Config


class Measure(Config):
    """One measure of the heads of one direction."""

    mean: float = Field(description="Mean over the seeds, in percent.")
    std: float | None = Field(
        description="Sample standard deviation over the seeds, in points; none for one seed."
    )
    per_seed: tuple[float, ...]
    constant: float | None = Field(
        None,
        description="What always giving the same answer reaches on these clips: the answer that is best on "
        "the labels the head learned from. None in results written before it was measured.",
    )


class DirectionResult(Measure):
    """One row of a result table."""

    source: str = Field(description="Modality whose codes trained the head.")
    target: str = Field(description="Modality whose codes were judged.")
    kind: Literal["transfer", "same-modality"]
    metric: str = Field("accuracy", description="What `mean`, `std` and `per_seed` are.")
    epochs_selected: tuple[int, ...] = Field(description="Epoch each head was taken from, counted from 1.")
    others: dict[str, Measure] = Field({}, description="Further measures of the same heads, by name.")


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
    counts: dict[str, int] = Field(
        description="Clips used of each split; of each split and modality, such as 'test audio', where the "
        "modalities differ."
    )
    dropped: dict[str, int] = Field(
        description="Clips left out, by the same names: their video is in another split too."
    )


class CheckpointSummary(Config):
    """Which model made the codes."""

    method: str
    fingerprint: str = Field(description="SHA-256 of all parameters and buffers.")
    layers: dict[str, int] = Field(
        {}, description="Code layers and their numbers of codes; empty in results older than this field."
    )


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
    chance: float | None = Field(
        description="Percent right when guessing; none where the answer is no choice of one class."
    )
    majority: float | None = Field(
        description="Percent right when always answering the most frequent training class; none where that "
        "is not one number for all directions, see their `constant`."
    )
    directions: tuple[DirectionResult, ...]
    permute_codes_seed: int | None = Field(
        None, description="Set for the control experiment in which the target's codes are shuffled."
    )
    layers: tuple[str, ...] | None = Field(
        None, description="Code layers the heads saw; none, meaning all, in results older than this field."
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
        first = self.directions[0]
        names = [first.metric, *first.others]
        constant = self.majority is None
        heads = [f"{name.replace('_', ' ')} %" for name in names]
        rows = [["direction", heads[0], "std", *heads[1:], *["constant %"] * constant, "kind"]]
        rows += [
            [
                f"{row.source} -> {row.target}",
                f"{row.mean:.1f}",
                _or_dash(row.std),
                *(f"{row.others[name].mean:.1f}" for name in names[1:]),
                *[_or_dash(row.constant)] * constant,
                row.kind,
            ]
            for row in self.directions
        ]
        for name, value in (("chance", self.chance), ("majority class", self.majority)):
            if value is not None:
                rows.append([name, f"{value:.1f}", *["-"] * (len(rows[0]) - 3), "floor"])
        return "\n".join([*self._heading(), "", *_markdown(rows)])

    def _heading(self) -> list[str]:
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"
        lines = [f"{self.task}, protocol {self.protocol}, {seeds}, {len(self.classes)} classes"]
        if self.layers is not None and len(self.layers) < len(self.checkpoint.layers):
            lines.append(f"codes: {', '.join(self.layers)} of {', '.join(self.checkpoint.layers)}")
        if self.toc is not None:
            kept = (f"{t.layer} {t.kept} of {t.n_dims} dimensions" for t in self.toc)
            lines.append(f"TOC: {', '.join(kept)}")
        if self.permute_codes_seed is not None:
            lines.append("CONTROL: the codes of the target modality are shuffled")
        return lines + [f"LEAK {leak}" for leak in self.leaks]


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Header first; the first and the last column are text, those between are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    sides = ["<" if column in (0, last) else ">" for column in range(len(widths))]
    lines = [
        "| " + " | ".join(f"{cell:{s}{w}}" for cell, s, w in zip(row, sides, widths, strict=True)) + " |"
        for row in rows
    ]
    rules = [
        f":{'-' * (w + 1)}" if s == "<" else f"{'-' * (w + 1)}:" for s, w in zip(sides, widths, strict=True)
    ]
    lines.insert(1, f"|{'|'.join(rules)}|")
    return lines
