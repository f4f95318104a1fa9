"""What `codes.json` holds: who uses each code of one code layer, and what lies near it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from unicode_cmg.config import Config
from unicode_cmg.data_frame import data_frame
from unicode_cmg.inspect.codes.readings import OwnReading, Reading
from unicode_cmg.inspect.codes.specific import SpecificProbe
from unicode_cmg.inspect.codes.usage import COLOURS, KINDS, Agreement
from unicode_cmg.inspect.plain_text import aligned, number, percent


class NearStep(Config):
    """A step of a clip near a codeword."""

    clip: str
    step: int
    distance: float = Field(description="Euclidean, between what is quantized and the codeword.")
    chosen: bool = Field(description="Whether the step has this code; false if another code is nearer.")
    word: str | None = Field(description="Word of the step, if the words are known.")


class SimilarCode(Config):
    """Another code of the same code layer."""

    code: int
    cosine: float


class WordCount(Config):
    """A word, and how many steps with this word got the code."""

    word: str
    steps: int


class CodeByClass(Config):
    """How one code is used for the classes of labelled clips."""

    counts: dict[str, tuple[int, ...]] = Field(
        description="Modality -> its steps on the code by class, as `LabelledSteps.columns`."
    )
    purity: float | None = Field(
        description="Share of the most frequent class (or background) among all steps on the code."
    )
    examples: dict[str, tuple[tuple[int, int], ...]] = Field(
        description="Modality -> a few `(row, step)` with the code, each of another clip."
    )


class CodeEntry(Config):
    """One code."""

    code: int
    kind: Literal["shared", "between", "single", "unused"]
    counts: dict[str, int] = Field(description="Modality -> its steps on this code.")
    shares: dict[str, float] = Field(description="Modality -> its part in this code; they sum to 1.")
    nearest: dict[str, tuple[NearStep, ...]] = Field(
        description="Modality -> steps with this code, then others, by distance; one a clip, or one a word."
    )
    words: dict[str, tuple[WordCount, ...]] = Field(
        description="Modality -> words that come with this code more often than with others come first."
    )
    similar: tuple[SimilarCode, ...] = Field(description="Codes of the largest cosine similarity.")
    by_class: CodeByClass | None = Field(None, description="Where the clips have labels.")


class ModalityUse(Config):
    """How one modality uses the codes."""

    steps: int
    codes: int = Field(description="Codes with at least one of its steps.")
    perplexity: float = Field(description="Effective number of codes it uses.")
    kinds: dict[str, float] = Field(description="Kind of code -> share of its steps on such codes.")
    purity: float | None = Field(
        None,
        description="With labels: share of its steps that bear the most frequent class its code has in it.",
    )


class LabelledSteps(Config):
    """What is known of clips with labels as a whole.

    Steps of audio and video are seconds and carry the label of their second. Steps of text are words about
    the whole clip and carry the label of the clip, as does the one code of a model that has one for a clip.
    """

    split: str
    classes: tuple[str, ...] = Field(description="The C classes; background is not among them.")
    background: bool = Field(description="Whether some steps have no class.")
    agreement: tuple[Agreement, ...] = Field(
        description="On steps with an event only: agreement on silence and on an empty picture says nothing."
    )
    background_agreement: tuple[Agreement, ...] = Field(
        description="On seconds without an event only; words count as words of the whole clip."
    )
    readings: dict[str, Reading] = Field(
        description="Modality -> whether codes name the class, in events and in background."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """What the numbers of `CodeByClass.counts` stand for."""
        return (*self.classes, "background") if self.background else self.classes


class EventReadings(Config):
    """What the codes tell of clips that have several classes of events, such as those of AVVP."""

    split: str
    classes: tuple[str, ...]
    readings: dict[str, OwnReading] = Field(description="Modality -> whose class the code of a second names.")


class DescribedCodes(Config):
    """Use and meaning of the codes of one code layer, on the clips of a feature store or of labelled data."""

    format_version: Literal[1] = 1
    method: str
    checkpoint: str = Field(description="SHA-256 of the model's parameters and buffers.")
    features: str = Field(description="Fingerprint of the feature store, or of the split of labelled data.")
    clips: int
    code_layer: str = Field(description="Name of the code layer.")
    level: str | None
    num_codes: int
    merged: int | None = Field(None, description="Codes before they were merged; none if they were not.")
    shares: Literal["per step", "raw"] = Field(
        description="Whether counts were divided by the modality's number of steps before shares were taken."
    )
    kinds: dict[str, int] = Field(description="Kind -> number of codes.")
    modalities: dict[str, ModalityUse]
    agreement: tuple[Agreement, ...] = Field(description="On all valid steps.")
    labels: LabelledSteps | None = Field(description="None for clips without labels.")
    events: EventReadings | None = Field(description="None without a data set of events.")
    specific: tuple[SpecificProbe, ...] = Field(
        description="What the specific features know; empty for a method without them."
    )
    codes: tuple[CodeEntry, ...] = Field(description="All codes of a codebook; else those that occur.")

    @property
    def event_agreement(self) -> tuple[Agreement, ...]:
        """On steps with an event; on all valid steps of clips without labels."""
        return self.agreement if self.labels is None else self.labels.agreement

    def rows(self) -> list[dict[str, Any]]:
        """The lines of `codes.csv`, one for each code: column -> value."""
        names = list(self.modalities)
        worded = [m for m in names if any(code.words.get(m) for code in self.codes)]
        rows = []
        for code in self.codes:
            near = code.nearest
            rows.append(
                {
                    "code": code.code,
                    "kind": code.kind,
                    "colour": COLOURS[code.kind],
                    **{f"count_{m}": code.counts[m] for m in names},
                    **{f"share_{m}": code.shares[m] for m in names},
                    **{f"nearest_{m}": "; ".join(f"{s.clip}@{s.step}" for s in near[m]) for m in names},
                    **{f"words_{m}": "; ".join(f"{w.word}:{w.steps}" for w in code.words[m]) for m in worded},
                    **{f"nearest_words_{m}": "; ".join(s.word for s in near[m] if s.word) for m in worded},
                    "similar": "; ".join(f"{other.code}:{other.cosine:.3f}" for other in code.similar),
                }
            )
        return rows

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row for each code, the columns of `codes.csv`.

        Raises:
            InputError: pandas is not installed.
        """
        return data_frame(self.rows())

    def __repr__(self) -> str:
        used = self.num_codes - self.kinds["unused"]
        return (
            f"DescribedCodes({self.code_layer}: {used} of {self.num_codes} codes used on {self.clips} clips)"
        )

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """A summary as plain text."""
        names, uses = list(self.modalities), list(self.modalities.values())
        rows = [["kind", "codes", *names]]
        for kind in KINDS:
            title = f"{kind} ({COLOURS[kind]})" if COLOURS[kind] else kind
            rows.append([title, str(self.kinds[kind]), *(percent(use.kinds.get(kind)) for use in uses)])
        used = self.num_codes - self.kinds["unused"]
        rows.append(["codes used", str(used), *(str(use.codes) for use in uses)])
        rows.append(["perplexity", "", *(f"{use.perplexity:.1f}" for use in uses)])
        if self.labels is not None:
            rows.append(["purity", "", *(percent(use.purity) for use in uses)])
        shares = ", shares of raw counts" if self.shares == "raw" else ""
        merged = "" if self.merged is None else f" (merged from {self.merged})"
        head = f"{self.code_layer}: {self.num_codes} codes{merged} on {self.clips} clips{shares}; "
        parts = [head + "percentages are of the steps of a modality", aligned(rows)]
        if self.agreement:
            parts.append(_agreement_table("same code", self.agreement))
        if self.labels is not None and self.labels.background_agreement:
            parts.append(_agreement_table("… where an event is", self.labels.agreement))
            parts.append(_agreement_table("… in background", self.labels.background_agreement))
        if self.labels is not None and self.labels.readings:
            rows = [["the code names the class of the clip", "events", "background", "by chance"]]
            for m, read in self.labels.readings.items():
                rows.append([m, *map(percent, (read.events, read.background, read.chance))])
            parts.append(aligned(rows))
        if self.events is not None and self.events.readings:
            rows = [["seconds of one class, of several in the clip", "own", "another", "own by chance"]]
            for m, two in self.events.readings.items():
                rows.append([m, *map(percent, (two.own, two.other, two.chance))])
            parts.append(aligned(rows))
        if self.specific:
            known = ["specific features tell", "the class", "by chance", "the code", "by chance"]
            rows = [[*known, "explained by the code"]]
            for probe in self.specific:
                chances = probe.label_chance, probe.code_chance
                cells = (probe.label, chances[0], probe.code, chances[1], probe.explained)
                rows.append([f"{probe.modality}, {probe.part}", *map(percent, cells)])
            parts.append(aligned(rows))
        return "\n\n".join(parts)


def _agreement_table(title: str, agreement: Sequence[Agreement]) -> str:
    rows = [[title, "same step", "by chance", "same clip", "by chance", "cosine", "by chance"]]
    for pair in agreement:
        shares = (pair.steps, pair.steps_expected, pair.clips, pair.clips_expected)
        cosines = (number(value, ".2f") for value in (pair.cosine, pair.cosine_expected))
        rows.append([" - ".join(pair.modalities), *map(percent, shares), *cosines])
    return aligned(rows)
