"""Counting, a batch at a time, who chose which code and how often two modalities chose the same one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Int64
from pydantic import Field
from torch import Tensor

from unicode_cmg.codebook.usage import code_counts, most_frequent
from unicode_cmg.config import Config


class PairAgreement(Config):
    """How often two modalities choose the same code.

    The expected values are those of two modalities with the same habits but blind to each other: a collapsed
    codebook agrees always, and is expected to.
    """

    modalities: tuple[str, str]
    steps: float | None = Field(
        description="Share of the steps valid in both that have the same code; none if steps do not compare."
    )
    steps_expected: float | None
    clips: float = Field(description="Share of clips whose most frequent code is the same.")
    clips_expected: float


class UsageCounter:
    """Counts of a stream of codes.

    Args:
        modalities: M names.
        num_codes: H.
        aligned: Pairs of modalities whose steps are the same moments, if there are as many.
    """

    def __init__(
        self, modalities: Sequence[str], num_codes: int, aligned: Collection[tuple[str, str]]
    ) -> None:
        self._num_codes = num_codes
        self._pairs = list(combinations(modalities, 2))
        self._aligned = set(aligned)
        self._steps = {m: torch.zeros(num_codes, dtype=torch.int64) for m in modalities}
        self._modal = {m: torch.zeros(num_codes, dtype=torch.int64) for m in modalities}
        self._both = {pair: torch.zeros(2, num_codes, dtype=torch.int64) for pair in self._aligned}
        self._same_steps = dict.fromkeys(self._aligned, 0)
        self._same_clips = dict.fromkeys(self._pairs, 0)

    def add(
        self,
        codes: Mapping[str, Int64[Tensor, "batch _"]],
        masks: Mapping[str, Bool[Tensor, "batch _"]],
    ) -> None:
        """Count the codes of the same clips in all modalities.

        Args:
            codes: Modality -> `[B, T]` in `[0, H)`.
            masks: Modality -> `[B, T]`, True where a step is valid.
        """
        modal = {m: most_frequent(x, masks[m]) for m, x in codes.items()}
        for m, x in codes.items():
            self._steps[m] += code_counts(x, self._num_codes, masks[m]).cpu()
            self._modal[m] += code_counts(modal[m], self._num_codes).cpu()
        for a, b in self._pairs:
            self._same_clips[a, b] += int((modal[a] == modal[b]).sum())
        for a, b in self._aligned:
            if codes[a].shape != codes[b].shape:
                continue
            valid = masks[a] & masks[b]
            self._same_steps[a, b] += int(((codes[a] == codes[b]) & valid).sum())
            for side, m in enumerate((a, b)):
                self._both[a, b][side] += code_counts(codes[m], self._num_codes, valid).cpu()

    def counts(self) -> dict[str, Int64[Tensor, " codes"]]:
        """Modality -> valid steps on each code."""
        return dict(self._steps)

    def agreement(self) -> tuple[PairAgreement, ...]:
        """Each pair of modalities, in their order."""
        return tuple(self._agreement(a, b) for a, b in self._pairs)

    def _agreement(self, a: str, b: str) -> PairAgreement:
        steps = steps_expected = None
        both = self._both.get((a, b))
        if both is not None and both.any():
            steps, steps_expected = self._same_steps[a, b] / int(both[0].sum()), _blind(*both)
        clips = int(self._modal[a].sum())
        return PairAgreement(
            modalities=(a, b),
            steps=steps,
            steps_expected=steps_expected,
            clips=self._same_clips[a, b] / max(clips, 1),
            clips_expected=_blind(self._modal[a], self._modal[b]),
        )


def _blind(x: Int64[Tensor, " codes"], y: Int64[Tensor, " codes"]) -> float:
    """Share of equal pairs to expect if each side draws from its own codes independently."""
    return float((x.double() @ y.double()) / (x.sum() * y.sum()).clamp(min=1))
