"""Records of an evaluation: written by `unicode-cmg evaluate`, read by reports and model cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import Field

from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json

EvaluationT = TypeVar("EvaluationT", bound="Evaluation")


class HeadConfig(Config):
    """How a head is trained."""

    lr: float = Field(4e-4, gt=0, description="Learning rate of Adam.")
    epochs: int = Field(25, ge=1, description="Passes over the training rows.")
    batch_size: int = Field(80, ge=1, description="Clips per step.")
    clip: float = Field(0.5, gt=0, description="Largest L2 norm of a head's gradient.")
    milestones: tuple[int, ...] = Field((), description="Epochs after which the learning rate is halved.")
    select: Literal["best-val", "last"] = Field(
        "best-val",
        description="Keep the epoch that is best on the protocol's selection rows, or the last one.",
    )


class Bootstrap(Config):
    """Resamples of the tested clips, with replacement; an interval is between two of their percentiles."""

    resamples: int = 1000
    percent: float = 95.0
    seed: int = 0


class Event(NamedTuple):
    """Seconds `start` to `stop`, the latter not included, of the class with this number."""

    event: int
    start: int
    stop: int


class Timeline(Config):
    """What is true of one clip, and what one head says about it."""

    clip: str
    seconds: int
    true: tuple[Event, ...]
    said: tuple[Event, ...] = Field(description="Events predicted by the head of the first seed.")


class ClipDetails(Config):
    """Answers of heads that name one class a clip, or one class a step."""

    kind: Literal["clips"] = "clips"
    counted: Literal["clips", "steps"] = Field("clips", description="What has a class, and is counted.")
    confusion: tuple[tuple[int, ...], ...] = Field(
        description="Clips of each class (row) that were given each class (column), summed over the heads."
    )
    by_class: tuple[float | None, ...] = Field(
        description="Recall of each class in percent; none for a class without clips."
    )


class TagDetails(Config):
    """Answers of heads that name any number of classes a clip."""

    kind: Literal["tags"] = "tags"
    present: tuple[int, ...] = Field(description="Number of clips that have each class.")
    by_class: tuple[float | None, ...] = Field(
        description="Average precision of each class in percent, mean over the heads; none for a class "
        "without clips."
    )


class SecondDetails(Config):
    """Answers of heads that name any number of events in each second."""

    kind: Literal["seconds"] = "seconds"
    present: tuple[int, ...] = Field(description="Number of seconds that contain each class.")
    by_class: tuple[float | None, ...] = Field(
        description="F1 of each class over seconds, in percent, mean over the heads; none for a class that "
        "neither occurs nor is predicted."
    )
    timelines: tuple[Timeline, ...] = Field(
        description="Some of the clips with an event: evenly spread over their order, however well they do."
    )


Details = ClipDetails | SecondDetails | TagDetails
"""The answers of the heads of one direction, class by class."""


class Measure(Config):
    """One measure of one direction, in percent.

    Some are not, see `in_percent`: ranks of retrieval are places from 1, `R2` is a share of the variance, and
    `MAE` has the unit of the number that is predicted.
    """

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
        description="What a constant answer reaches on these clips: the answer that is best on the labels "
        "the head learned from. None for measures of two modalities at once.",
    )


class DirectionResult(Measure):
    """One row of a result table."""

    source: str = Field(description="Modality whose codes trained the head.")
    target: str = Field(description="Modality whose codes were judged.")
    kind: Literal["transfer", "same-modality"]
    metric: str = Field("accuracy", description="Name of the measure in `mean`, `std` and `per_seed`.")
    epochs_selected: tuple[int, ...] = Field(
        description="Epoch each head was taken from, counted from 1; none where no heads are."
    )
    others: dict[str, Measure] = Field({}, description="Further measures of the same heads, by name.")
    shuffled: Measure | None = Field(
        None,
        description="The metric of the same heads where the codes of the target are renamed at random, "
        "which leaves nothing that rests on shared codes; none where source and target are the same.",
    )
    continuous: Measure | None = Field(
        None, description="The metric of heads that see what was quantized in place of the codes."
    )
    raw: Measure | None = Field(
        None,
        description="The metric of heads that see the features themselves; only where source and target are "
        "the same, because modalities differ in their features.",
    )
    details: Details | None = Field(
        None,
        discriminator="kind",
        description="The answers of the heads, class by class; none without heads or classes.",
    )


class JointResult(Config):
    """Measures that need both what is heard and what is seen of a clip, of the heads of one source."""

    source: str = Field(description="Modality whose codes trained the heads.")
    targets: tuple[str, str] = Field(description="Modalities that the heads judged together.")
    clips: int = Field(description="Reported clips that have both.")
    measures: dict[str, Measure]


class TOCSummary(Config):
    """Which dimensions of the codebook of one code layer the heads saw."""

    code_layer: str
    kept: int
    n_dims: int
    lam: float
    variant: str
    centered: bool = Field(description="Whether the codebook less its mean codeword was scored.")
    codebook_sha256: str
    use: Literal["slice", "requantize"] = Field(
        description="Whether heads use the kept dimensions of the codes, or codes are chosen again in them."
    )


class MergeSummary(Config):
    """Into which groups the codes of one code layer were merged before heads saw them."""

    code_layer: str
    n_codes: int = Field(description="Codes before merging.")
    n_groups: int = Field(description="Groups, each with the mean of its codewords.")
    ratio: float = Field(
        description="Height of the next merge divided by that of the last one; weak below 1.6."
    )
    codebook_sha256: str


def in_percent(measure: str) -> bool:
    """Whether a measure of this name is a percentage.

    >>> [in_percent(name) for name in ("accuracy", "R@10", "mean rank", "R2", "MAE")]
    [True, True, False, False, False]
    """
    return measure not in ("R2", "MAE") and not measure.endswith("rank")


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
    notes: tuple[str, ...] = Field(
        (), description="What else is to be known of the data: clips without label or modality, rare classes."
    )


class CheckpointSummary(Config):
    """Which model made the codes."""

    method: str
    fingerprint: str = Field(description="SHA-256 of all parameters and buffers.")
    code_layers: dict[str, int] = Field(description="Number of codes of each code layer.")


class Seconds(Config):
    """Wall-clock time."""

    encode: float
    heads: float
    total: float


class Evaluation(Config):
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
    seeds: tuple[int, ...] = Field(description="Seeds of the heads; none without heads.")
    classes: tuple[str, ...]
    chance: float | None = Field(
        description="Accuracy of guessing, in percent; none if the answer is not one class."
    )
    majority: float | None = Field(
        description="Percent right when always answering the most frequent training class; none where that "
        "is not one number for all directions, see their `constant`."
    )
    directions: tuple[DirectionResult, ...]
    joint: tuple[JointResult, ...] = Field(
        (), description="Measures that need two modalities of the same clips, if heads were tested on both."
    )
    bootstrap: Bootstrap | None = Field(
        None, description="How the intervals were computed; none without intervals."
    )
    permute_codes_seed: int | None = Field(
        None, description="Set for the control experiment in which the target's codes are shuffled."
    )
    code_layers: tuple[str, ...] = Field(description="Code layers that the heads saw.")
    level: str | None = Field(
        None, description="How fine the codes were; none of a model that offers no choice."
    )
    toc: tuple[TOCSummary, ...] | None
    merge: tuple[MergeSummary, ...] | None = Field(
        None, description="The code layers whose codes were merged; none if no codes were."
    )
    head: HeadConfig | None = Field(description="How the heads were trained; none without heads.")
    data: DataSummary
    checkpoint: CheckpointSummary
    seconds: Seconds

    @classmethod
    def from_json(cls: type[EvaluationT], values: Any, *, where: object = "evaluation result") -> EvaluationT:
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


def run_evaluations(run: Path, kind: type[EvaluationT]) -> dict[Path, EvaluationT]:
    """The results in `evaluation/` of a run folder by their files, in the order of names; there may be none.

    Args:
        run: The run folder. Files that hold no evaluation are passed over.
        kind: `Evaluation`, or a class with the same fields.

    Raises:
        InputError: A file is damaged.
    """
    values = {file: read_json(file) for file in sorted((run / "evaluation").glob("*.json"))}
    return {file: kind.from_json(v, where=file) for file, v in values.items() if _is_evaluation(v)}


def read_evaluations(path: Path) -> dict[str, Evaluation]:
    """The evaluations of a run by the names of their files, without its control experiments.

    Args:
        path: A run folder (its `evaluation/`, else its `results.json`), a `results.json`, or the JSON file of
            one evaluation.

    Raises:
        InputError: There are none, or a file is damaged.
    """
    evaluations = {file.stem: found for file, found in run_evaluations(path, Evaluation).items()}
    if not evaluations:
        file = path / "results.json" if path.is_dir() else path
        values = read_json(file)
        several = values.get("evaluations") if isinstance(values, dict) else None
        evaluations = {
            name: Evaluation.from_json(value, where=f"{file}: evaluation '{name}'")
            for name, value in (several if isinstance(several, dict) else {file.stem: values}).items()
            if _is_evaluation(value)
        }
    clean = {name: e for name, e in evaluations.items() if e.permute_codes_seed is None and e.directions}
    if not clean:
        raise InputError(
            "there are no results of an evaluation here",
            where=path,
            expected="a run that was evaluated, its results.json, or what 'unicode-cmg evaluate --to' wrote",
        )
    return clean


def _is_evaluation(values: Any) -> bool:
    return isinstance(values, dict) and "directions" in values
