"""What an evaluation returns: numbers with everything needed to know how they came about."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from benchmarks.evaluation.bootstrap import Bootstrap
from benchmarks.evaluation.heads import HeadConfig
from benchmarks.evaluation.predictions import Details
from benchmarks.evaluation.result_tables import result_tables
from unicode_cmg.config import Config


class Measure(Config):
    """One measure of one direction, in percent; ranks of retrieval are places, from 1."""

    mean: float = Field(description="Mean over the seeds.")
    std: float | None = Field(
        description="Sample standard deviation over the seeds; none for one seed, and where no heads are."
    )
    per_seed: tuple[float, ...]
    interval: tuple[float, float] | None = Field(
        None,
        description="Where the mean lies under resampling of the tested clips, see `bootstrap`; none under "
        "protocols that choose on the clips they report, and of measures that are no sums over clips.",
    )
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
    epochs_selected: tuple[int, ...] = Field(
        description="Epoch each head was taken from, counted from 1; none where no heads are."
    )
    others: dict[str, Measure] = Field({}, description="Further measures of the same heads, by name.")
    details: Details | None = Field(
        None,
        discriminator="kind",
        description="What the heads said, class by class; none where no heads are, and in results older than "
        "this field.",
    )


class JointResult(Config):
    """Measures that need both what is heard and what is seen of a clip, of the heads of one source."""

    source: str = Field(description="Modality whose codes trained the heads.")
    targets: tuple[str, str] = Field(description="Modalities that the heads judged together.")
    clips: int = Field(description="Reported clips that have both.")
    measures: dict[str, Measure]


class TOCSummary(Config):
    """Which dimensions of one codebook layer the head saw."""

    layer: str
    kept: int
    n_dims: int
    lam: float
    variant: str
    codebook_sha256: str
    use: Literal["slice", "requantize"] = Field(
        "slice",
        description="Whether the kept dimensions of the codes were looked at, as in results older than this "
        "field, or codes were chosen anew in them.",
    )


class DataSummary(Config):
    """Where the clips came from."""

    root: str = Field(description="Name of the folder.")
    fingerprint: str = Field(description="SHA-256 of ids, labels, splits and a sample of the features.")
    counts: dict[str, int] = Field(
        description="Clips used of each split; of each split and modality, such as 'test audio', where the "
        "modalities differ."
    )
    dropped: dict[str, int] = Field(
        description="Clips left out, by the same names: their video is in another split too, or was excluded "
        "by the caller."
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
    cautions: tuple[str, ...] = Field(
        (),
        description="Leaks that lie before the evaluation; whether they apply depends on how the checkpoint "
        "and the settings came about.",
    )
    seeds: tuple[int, ...] = Field(description="Seeds of the heads; none where no heads are.")
    classes: tuple[str, ...]
    chance: float | None = Field(
        description="Percent right when guessing; none where the answer is no choice of one class."
    )
    majority: float | None = Field(
        description="Percent right when always answering the most frequent training class; none where that "
        "is not one number for all directions, see their `constant`."
    )
    directions: tuple[DirectionResult, ...]
    joint: tuple[JointResult, ...] = Field(
        (), description="What takes two modalities of the same clips to measure, where heads judged both."
    )
    bootstrap: Bootstrap | None = Field(
        None, description="How the intervals were made; none if there are none."
    )
    permute_codes_seed: int | None = Field(
        None, description="Set for the control experiment in which the target's codes are shuffled."
    )
    layers: tuple[str, ...] | None = Field(
        None, description="Code layers the heads saw; none, meaning all, in results older than this field."
    )
    toc: tuple[TOCSummary, ...] | None
    head: HeadConfig | None = Field(description="How the heads were trained; none where no heads are.")
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

    def table(self, *, printed: bool = False) -> str:
        """Markdown tables that also read well as plain text.

        Args:
            printed: Put what the papers print for the same task and method, on other data, beside our
                numbers.
        """
        return "\n".join([*self._heading(), "", *result_tables(self, printed=printed)])

    def _heading(self) -> list[str]:
        parts = [self.task, f"protocol {self.protocol}"]
        if self.seeds:
            parts.append(f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}")
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        lines = [", ".join(parts)]
        if self.layers is not None and len(self.layers) < len(self.checkpoint.layers):
            lines.append(f"codes: {', '.join(self.layers)} of {', '.join(self.checkpoint.layers)}")
        if self.toc is not None:
            kept = (f"{t.layer} {t.kept} of {t.n_dims} dimensions" for t in self.toc)
            anew = ", codes chosen anew in them" if self.toc[0].use == "requantize" else ""
            lines.append(f"TOC: {', '.join(kept)}{anew}")
        if self.permute_codes_seed is not None:
            lines.append("CONTROL: the codes of the target modality are shuffled")
        return lines + [f"LEAK {leak}" for leak in self.leaks]
