"""What `unicode-cmg slots --json` prints: which slots belong together, and what they attend to."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Literal

from pydantic import Field

from unicode_cmg.config import Config
from unicode_cmg.inspect.plain_text import aligned, number, percent

JOINT = "joint"
"""Name of the joint representation in summaries, beside those of the teachers."""


class TeacherTokens(Config):
    """What the tokens of a teacher are; sizes are None where a module has made tokens of its own."""

    column: str = Field(description="Column of the feature store that the teacher reads.")
    steps: int | None = Field(description="Steps of a clip, padding included.")
    rows: int | None = Field(description="Rows of the grid of a step; None without a grid.")
    cols: int | None = Field(description="Columns of that grid.")


class SlotToken(Config):
    """One token that a slot attends to."""

    token: int = Field(description="Its number among the teacher's tokens, from 0.")
    step: int | None = Field(description="The step of the clip it is from; None if it has none.")
    row: int | None = Field(description="Its row in a grid.")
    col: int | None = Field(description="Its column in that grid.")
    word: str | None = Field(description="Word of the step, if the words are known.")
    weight: float = Field(description="Its share in the slot: eq. 7 of the SGA paper.")


class MatchedSlot(Config):
    """A slot of a teacher that is paired with a joint slot."""

    slot: int
    similarity: float = Field(description="Cosine of the two slots: eq. 1 of the SGA paper.")
    tokens: tuple[SlotToken, ...] = Field(description="The tokens of the largest weights, descending.")


class JointSlot(Config):
    """A slot of the joint representation, and the slots of each teacher that are paired with it."""

    slot: int
    columns: dict[str, float] = Field(description="Modality -> share of the slot that is from its tokens.")
    teachers: dict[str, tuple[MatchedSlot, ...]] = Field(
        description="Teacher -> its slots in a pair with this one (eq. 2), the most similar first."
    )

    def similarities(self) -> str:
        """The cosine of the best pair of each teacher."""
        return ", ".join(f"{m} {matches[0].similarity:.2f}" for m, matches in self.teachers.items())


class Counts(Config):
    """How many tokens of one kind a clip has, and how many slots were kept for them."""

    tokens: int
    slots: int


class SlotClip(Config):
    """The slots of one clip."""

    clip: str
    words: dict[str, tuple[str | None, ...]] = Field(
        description="Column -> the word of each step, where words are known; None at padding."
    )
    joint: Counts
    teachers: dict[str, Counts]
    slots: tuple[JointSlot, ...] = Field(
        description="Joint slots in a pair; those that most teachers found first, then the most similar."
    )


class Moments(Config):
    """How alike the slots of two teachers spread over the steps of a clip, from 0 to 1."""

    teachers: tuple[str, str]
    matched: float | None = Field(
        description="Mean over slots paired with the same joint slot; None without any."
    )
    others: float | None = Field(description="Mean over all other kept slots of the two teachers.")


class Summary(Config):
    """The tokens of one kind, averaged over the clips; None where there is nothing to average."""

    tokens: float
    slots: float = Field(description="Slots that are kept.")
    matched: float | None = Field(description="Joint slots with a slot of this teacher.")
    similarity: float | None = Field(
        description="Mean similarity of the best slot for each matched joint slot."
    )
    shown: float | None = Field(description="Share of such a slot that the listed tokens have.")
    even: float | None = Field(description="Share that they would have if all tokens had equal weight.")


class MatchedSlots(Config):
    """Which slots belong together on some clips of a feature store."""

    format_version: Literal[1] = 1
    method: str
    checkpoint: str = Field(description="SHA-256 of the parameters and buffers of method and regularizer.")
    features: str = Field(description="Fingerprint of the feature store.")
    seed: int = Field(description="Seed of the random draw that all slots start from.")
    slots: int = Field(
        description="Number of slots of the joint representation and of each teacher, kept or not."
    )
    teachers: dict[str, TeacherTokens]
    moments: tuple[Moments, ...] = Field(
        description="Of each two teachers whose steps are the same moments: as many steps, and no words."
    )
    clips: tuple[SlotClip, ...]

    def summary(self) -> dict[str, Summary]:
        """The joint representation, then each teacher."""
        joint = Summary(
            tokens=fmean(clip.joint.tokens for clip in self.clips),
            slots=fmean(clip.joint.slots for clip in self.clips),
            matched=None,
            similarity=None,
            shown=None,
            even=None,
        )
        return {JOINT: joint} | {m: self._summary(m) for m in self.teachers}

    def _summary(self, teacher: str) -> Summary:
        best = [
            (clip.teachers[teacher].tokens, slot.teachers[teacher][0])
            for clip in self.clips
            for slot in clip.slots
            if teacher in slot.teachers
        ]
        return Summary(
            tokens=fmean(clip.teachers[teacher].tokens for clip in self.clips),
            slots=fmean(clip.teachers[teacher].slots for clip in self.clips),
            matched=len(best) / len(self.clips),
            similarity=_mean(match.similarity for _, match in best),
            shown=_mean(sum(token.weight for token in match.tokens) for _, match in best),
            even=_mean(len(match.tokens) / tokens for tokens, match in best),
        )

    def table(self) -> str:
        """A summary as plain text."""
        head = f"{self.method}: means over {len(self.clips)} clips; {self.slots} slots for each row"
        rows = [["", "tokens", "slots kept", "matched", "similarity", "top tokens hold", "if even"]]
        for name, row in self.summary().items():
            cells = [f"{row.tokens:.1f}", f"{row.slots:.1f}", number(row.matched, ".1f")]
            cells += [number(row.similarity, ".2f"), percent(row.shown), percent(row.even)]
            rows.append([name, *cells])
        pairs = [["same moments", "matched slots", "other slots"]] + [
            [" - ".join(pair.teachers), percent(pair.matched), percent(pair.others)] for pair in self.moments
        ]
        return "\n\n".join([head, aligned(rows), *([aligned(pairs)] if self.moments else [])])


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None
