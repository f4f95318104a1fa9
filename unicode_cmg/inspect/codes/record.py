"""What the codes of a layer turned out to be, as a record that is written as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from unicode_cmg.config import Config
from unicode_cmg.inspect.codes.sharing import KINDS
from unicode_cmg.inspect.codes.usage import PairAgreement

COLOURS = {"shared": "green", "between": "blue", "single": "red", "unused": ""}
"""Kind -> the colour it has in figures 6 and 7 of the FCID paper."""


class NearStep(Config):
    """A step of a clip near a codeword."""

    clip: str
    step: int
    distance: float = Field(description="Euclidean, between what is quantized and the codeword.")
    chosen: bool = Field(description="Whether the step got this code, and not one still nearer to it.")
    word: str | None = Field(description="What the step says, where the words are known.")


class SimilarCode(Config):
    """Another code of the same layer."""

    code: int
    cosine: float


class WordCount(Config):
    """A word, and how many steps with this word got the code."""

    word: str
    steps: int


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


class ModalityUse(Config):
    """How one modality uses the codes."""

    steps: int
    codes: int = Field(description="Codes with at least one of its steps.")
    perplexity: float = Field(description="Effective number of codes it uses.")
    kinds: dict[str, float] = Field(description="Kind of code -> share of its steps on such codes.")


class InterpretedCodes(Config):
    """Use and meaning of the codes of one layer, on the clips of one feature store."""

    format_version: Literal[1] = 1
    method: str
    checkpoint: str = Field(description="SHA-256 of the model's parameters and buffers.")
    features: str = Field(description="Fingerprint of the feature store.")
    clips: int
    layer: str
    level: str | None
    num_codes: int
    shares: Literal["per step", "raw"] = Field(
        description="Whether counts were divided by the modality's number of steps before shares were taken."
    )
    kinds: dict[str, int] = Field(description="Kind -> number of codes.")
    modalities: dict[str, ModalityUse]
    agreement: tuple[PairAgreement, ...]
    codes: tuple[CodeEntry, ...] = Field(description="All codes of a codebook; else those that occur.")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: Any, *, where: object = "codes.json") -> InterpretedCodes:
        """The inverse of `to_json`.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        return cls.parse(values, where=where)

    def table(self) -> str:
        """A summary as plain text."""
        names = list(self.modalities)
        uses = list(self.modalities.values())
        rows = [["kind", "codes", *names]]
        for kind in KINDS:
            title = f"{kind} ({COLOURS[kind]})" if COLOURS[kind] else kind
            rows.append([title, str(self.kinds[kind]), *(_percent(use.kinds.get(kind)) for use in uses)])
        used = self.num_codes - self.kinds["unused"]
        rows.append(["codes used", str(used), *(str(use.codes) for use in uses)])
        rows.append(["perplexity", "", *(f"{use.perplexity:.1f}" for use in uses)])
        pairs = [["same code", "same step", "by chance", "same clip", "by chance"]]
        for pair in self.agreement:
            values = (pair.steps, pair.steps_expected, pair.clips, pair.clips_expected)
            pairs.append([" - ".join(pair.modalities), *map(_percent, values)])
        shares = ", shares of raw counts" if self.shares == "raw" else ""
        head = f"{self.layer}: {self.num_codes} codes on {self.clips} clips{shares}; "
        head += "percentages are of the steps of a modality"
        return "\n\n".join([head, _aligned(rows), *([_aligned(pairs)] if self.agreement else [])])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
