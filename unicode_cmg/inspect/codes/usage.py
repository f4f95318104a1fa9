"""Who uses which code, and how often two modalities choose the same one (FCID paper, section 5.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unicode_cmg.codebook.usage import code_counts, most_frequent
from unicode_cmg.config import Config

SINGLE_ABOVE, SHARED_FROM = 0.95, 0.05

SHARED, BETWEEN, SINGLE, UNUSED = "shared", "between", "single", "unused"
KINDS = (SHARED, BETWEEN, SINGLE, UNUSED)
COLOURS = {SHARED: "green", BETWEEN: "blue", SINGLE: "red", UNUSED: ""}
"""Kind -> the colour it has in figures 6 and 7 of the FCID paper."""


@dataclass(frozen=True)
class Sharing:
    """Each code's kind, and the part of each of M modalities in it.

    Attributes:
        parts: `[H, M]`, rows of used codes sum to 1, those of unused codes to 0.
        kinds: `[H]` of `shared` (every modality has at least 5 %), `single` (one has more than 95 %),
            `between`, `unused`; the paper paints them green, red and blue.
    """

    parts: Float[np.ndarray, "codes modalities"]
    kinds: list[str]


def sharing_of(counts: Mapping[str, Int[np.ndarray, " codes"]], *, raw: bool = False) -> Sharing:
    """Classify the codes.

    >>> sharing_of({"audio": np.array([4, 1, 0]), "video": np.array([3, 0, 0])}).kinds
    ['shared', 'single', 'unused']

    Args:
        counts: Modality -> how often it chose each of the H codes.
        raw: Take shares of the counts themselves. Otherwise each modality's counts are divided by its number
            of steps first, so that a modality with more steps does not own more codes for that. The paper
            does not say which it takes.
    """
    rates = np.stack([n if raw else n / max(n.sum(), 1) for n in counts.values()], axis=1).astype(np.float64)
    total = rates.sum(axis=1, keepdims=True)
    parts = np.divide(rates, total, out=np.zeros_like(rates), where=total > 0)
    kinds = np.select(
        [total[:, 0] == 0, parts.max(axis=1) > SINGLE_ABOVE, parts.min(axis=1) >= SHARED_FROM],
        [UNUSED, SINGLE, SHARED],
        BETWEEN,
    )
    return Sharing(parts, kinds.tolist())


class Agreement(Config):
    """Whether two modalities choose the same code, or at least a similar one.

    The expected values are those of two modalities with the same habits but blind to each other: a collapsed
    codebook agrees always, and is expected to. Modalities may well choose different codes that lie side by
    side in the codebook; heads then transfer all the same, and only the cosine shows why.
    """

    modalities: tuple[str, str]
    steps: float | None = Field(
        description="Share of the steps with the same code. Where the steps of the two are not the same "
        "moments, as seconds and words, each second is compared with the most frequent code of the words of "
        "its clip, and else the steps of the longer with that of the shorter. None if there is no step."
    )
    steps_expected: float | None
    clips: float = Field(description="Share of clips whose most frequent code is the same.")
    clips_expected: float
    cosine: float = Field(description="Mean cosine similarity of the average codewords of the same clip.")
    cosine_expected: float = Field(description="The same for different clips.")


class UsageCounter:
    """Counts of a stream of codes, in memory that does not grow with the clips.

    Args:
        modalities: M names.
        vectors: `[H, D]` the codewords.
        worded: Modalities whose steps are words, which happen at no particular moment.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        vectors: Float[Tensor, "codes dim"],
        worded: Collection[str] = (),
    ) -> None:
        self._vectors, self._worded = vectors.cpu().double(), frozenset(worded)
        self._counts = {m: torch.zeros(len(vectors), dtype=torch.int64) for m in modalities}
        self._pairs = {pair: _PairCounter(self._vectors) for pair in combinations(modalities, 2)}

    def add(
        self, codes: Mapping[str, Int64[Tensor, "batch _"]], masks: Mapping[str, Bool[Tensor, "batch _"]]
    ) -> None:
        """Count the codes of the same clips in all modalities.

        Args:
            codes: Modality -> `[B, T]` in `[0, H)`.
            masks: Modality -> `[B, T]`, True where a step counts. Two modalities are compared on the clips in
                which both have such a step.
        """
        codes, masks = ({m: x.cpu() for m, x in values.items()} for values in (codes, masks))
        modal = {m: most_frequent(x, masks[m]) for m, x in codes.items()}
        average = {
            m: F.normalize((self._vectors[x] * masks[m].unsqueeze(-1)).sum(dim=1), dim=-1)
            for m, x in codes.items()
        }
        for m, x in codes.items():
            self._counts[m] += code_counts(x, len(self._vectors), masks[m])
        for (a, b), pair in self._pairs.items():
            known = masks[a].any(dim=1) & masks[b].any(dim=1)
            pair.clips.add(modal[a][known], modal[b][known])
            pair.cosines += float((average[a][known] * average[b][known]).sum())
            pair.averages += torch.stack([average[m][known].sum(dim=0) for m in (a, b)])
            whole = self._whole(a, b, codes)
            first, second = (
                (modal[m].unsqueeze(1).expand_as(codes[other]), masks[m].any(dim=1, keepdim=True))
                if m == whole
                else (codes[m], masks[m])
                for m, other in ((a, b), (b, a))
            )
            both = first[1] & second[1]
            pair.steps.add(first[0][both], second[0][both])

    def _whole(self, a: str, b: str, codes: Mapping[str, Int64[Tensor, "batch _"]]) -> str | None:
        """The one of two modalities that is compared as a whole clip; None if steps are the same moments."""
        lengths = codes[a].shape[1], codes[b].shape[1]
        if (a in self._worded) != (b in self._worded):
            return a if a in self._worded else b
        return None if lengths[0] == lengths[1] else a if lengths[0] < lengths[1] else b

    def counts(self) -> dict[str, Int64[Tensor, " codes"]]:
        """Modality -> valid steps on each code."""
        return dict(self._counts)

    def agreement(self) -> tuple[Agreement, ...]:
        """Each pair of modalities, in their order."""
        return tuple(pair.agreement(names) for names, pair in self._pairs.items())


class _PairCounter:
    """Equal codes of two modalities, and the directions of the average codewords of their clips."""

    def __init__(self, vectors: Float[Tensor, "codes dim"]) -> None:
        self.clips, self.steps = _EqualCodes(len(vectors)), _EqualCodes(len(vectors))
        self.cosines = 0.0
        self.averages = vectors.new_zeros(2, vectors.shape[1])

    def agreement(self, modalities: tuple[str, str]) -> Agreement:
        n = self.clips.total
        others = float(self.averages[0] @ self.averages[1]) - self.cosines
        return Agreement(
            modalities=modalities,
            steps=self.steps.share() if self.steps.total else None,
            steps_expected=self.steps.expected() if self.steps.total else None,
            clips=self.clips.share(),
            clips_expected=self.clips.expected(),
            cosine=self.cosines / max(n, 1),
            cosine_expected=others / max(n * (n - 1), 1),
        )


class _EqualCodes:
    """How often the codes of two streams are equal."""

    def __init__(self, num_codes: int) -> None:
        self._same = 0
        self._counts = torch.zeros(2, num_codes, dtype=torch.int64)

    def add(self, first: Int64[Tensor, " n"], second: Int64[Tensor, " n"]) -> None:
        self._same += int((first == second).sum())
        for side, codes in enumerate((first, second)):
            self._counts[side] += code_counts(codes, self._counts.shape[1])

    @property
    def total(self) -> int:
        """Pairs that were compared."""
        return int(self._counts[0].sum())

    def share(self) -> float:
        """Share of equal pairs."""
        return self._same / max(self.total, 1)

    def expected(self) -> float:
        """The same if each stream drew from its own codes independently."""
        first, second = self._counts.double()
        return float(first @ second) / max(self.total, 1) ** 2
