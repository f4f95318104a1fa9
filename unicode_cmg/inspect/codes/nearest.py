"""What lies near each codeword: steps of clips, their words, and other codewords."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from unicode_cmg.data.labelled import Clips

_AT_ONCE = 1 << 23  # distances


class NearestSteps:
    """For each of U codewords the steps nearest to it, from a stream.

    Steps that were quantized to the codeword come first, then others, each by distance. No two steps of a
    codeword have the same key. Memory is `[N, U]`, however many steps pass; of equals the earlier stays.

    Args:
        vectors: `[U, D]` the codewords.
        keep: N, how many steps to keep for each.
    """

    def __init__(self, vectors: Float[Tensor, "codes dim"], keep: int) -> None:
        self._vectors = vectors.float()
        shape, device = (keep, len(vectors)), vectors.device
        self._score = torch.full(shape, torch.inf, dtype=torch.float64, device=device)
        self._key = torch.full(shape, -1, device=device)
        self.number = torch.full(shape, -1, device=device)
        """`[N, U]` numbers of the steps, nearest first; -1 where there are fewer."""
        self.distance = torch.full(shape, torch.inf, device=device)
        """`[N, U]` their Euclidean distances."""

    @property
    def chose(self) -> Tensor:
        """`[N, U]` whether the step was quantized to this codeword, and not to one still nearer to it."""
        return self._score < 1

    def add(
        self,
        numbers: Int64[Tensor, " steps"],
        keys: Int64[Tensor, " steps"],
        features: Float[Tensor, "steps dim"],
        codes: Int64[Tensor, " steps"],
    ) -> None:
        """Take note of a few steps.

        Args:
            numbers: What to call them, 0 or more.
            keys: Steps with the same key are alike, and the best of them is enough; 0 or more.
            features: What was quantized.
            codes: To which of the U codewords.
        """
        size = max(_AT_ONCE // len(self._vectors), 1)
        steps = (numbers, keys, features.float(), codes)
        for part in zip(*(torch.split(values, size) for values in steps), strict=True):
            self._add(*part)

    def _add(self, numbers: Tensor, keys: Tensor, features: Tensor, codes: Tensor) -> None:
        square = features.square().sum(-1, keepdim=True) + self._vectors.square().sum(-1)
        distance = (square - 2 * features @ self._vectors.T).clamp(min=0).sqrt()
        chose = codes.unsqueeze(-1) == torch.arange(len(self._vectors), device=codes.device)
        # ascending in the distance, below 1 for those that chose the codeword and from 1 on for others
        score = distance.double() / (1 + distance.double()) + ~chose
        alike, group = torch.unique(keys, return_inverse=True)
        best, where = _best_of_groups(score, group, len(alike))
        known = self._key.unsqueeze(1) == alike.unsqueeze(-1)
        better = best < self._score.unsqueeze(1)
        kept = self._score.masked_fill((known & better).any(1), torch.inf)
        best = best.masked_fill((known & ~better).any(0), torch.inf)
        self._score, order = torch.sort(torch.cat([kept, best]), dim=0, stable=True)
        self._score, order = self._score[: len(kept)], order[: len(kept)]
        self._key = torch.cat([self._key, alike.unsqueeze(-1).expand_as(best)]).gather(0, order)
        self.number = torch.cat([self.number, numbers[where]]).gather(0, order)
        self.distance = torch.cat([self.distance, distance.gather(0, where)]).gather(0, order)


def similar_codes(
    vectors: Float[Tensor, "codes dim"], keep: int
) -> tuple[Int64[Tensor, "codes _"], Float[Tensor, "codes _"]]:
    """For each codeword the `keep` others of the largest cosine similarity, and that similarity.

    A zero codeword has similarity 0 to all others.
    """
    unit = F.normalize(vectors.float(), dim=-1)
    keep, size = min(keep, len(unit) - 1), max(_AT_ONCE // len(unit), 1)
    similar, cosines = [], []
    for at in range(0, len(unit), size):
        cosine = unit[at : at + size] @ unit.T
        cosine.diagonal(offset=at).fill_(-torch.inf)
        values, order = torch.sort(cosine, dim=1, descending=True, stable=True)
        similar.append(order[:, :keep])
        cosines.append(values[:, :keep])
    return torch.cat(similar), torch.cat(cosines)


def _best_of_groups(
    score: Float[Tensor, "steps codes"], group: Int64[Tensor, " steps"], groups: int
) -> tuple[Float[Tensor, "groups codes"], Int64[Tensor, "groups codes"]]:
    """The smallest score of each group of steps, and the first step that has it."""
    into = group.unsqueeze(-1).expand_as(score)
    best = score.new_full((groups, score.shape[1]), torch.inf).scatter_reduce(0, into, score, "amin")
    steps = torch.arange(len(score), device=score.device).unsqueeze(-1)
    candidates = torch.where(score == best[group], steps, len(score))
    first = candidates.new_full(best.shape, len(score)).scatter_reduce(0, into, candidates, "amin")
    return best, first


class WordCounter:
    """Counts the words of one modality by code, from a stream of clips; memory grows with the vocabulary.

    Args:
        clips: Clips with the words of this modality.
        modality: Which.
        num_codes: How many codes there are.
    """

    def __init__(self, clips: Clips, modality: str, num_codes: int) -> None:
        self._clips = clips.tokens(modality)
        self._counts: list[Counter[str]] = [Counter() for _ in range(num_codes)]
        self._anywhere: Counter[str] = Counter()
        self._vocabulary: dict[str, int] = {}

    def add(
        self, codes: Int64[np.ndarray, "batch time"], mask: Bool[np.ndarray, "batch time"]
    ) -> Int64[np.ndarray, " steps"] | None:
        """Count the words of the next clips.

        Returns:
            A number for the word of each valid step; None if a code stands for a whole clip.
        """
        numbers = []
        for words, chosen, valid in zip(islice(self._clips, len(codes)), codes, mask, strict=True):
            for step in np.flatnonzero(valid).tolist():
                behind = _behind(words, step, len(chosen))
                self._counts[int(chosen[step])].update(behind)
                self._anywhere.update(behind)
                if len(words) == len(chosen):
                    word = behind[0] if behind else ""
                    numbers.append(self._vocabulary.setdefault(word, len(self._vocabulary)))
        return np.array(numbers, dtype=np.int64) if len(numbers) == mask.sum() else None

    def telling(self, code: int, most: int) -> list[tuple[str, int]]:
        """Words and how many steps with each got the code, the most telling first.

        A word tells the more, the more of its steps there are on the code and the more often it comes there
        than anywhere: with `n` of the code's `N_c` words, and `n_w` of all `N`, by `n log(n N / (N_c n_w))`.
        """
        here = self._counts[code]
        on_code, everywhere = here.total(), self._anywhere.total()

        def information(word: str) -> float:
            return here[word] * math.log(here[word] * everywhere / (on_code * self._anywhere[word]))

        ranked = sorted(here, key=lambda word: (-information(word), word))
        return [(word, here[word]) for word in ranked[:most]]


def words_at(
    clips: Clips, modality: str, places: Collection[tuple[int, int]], steps: int
) -> dict[tuple[int, int], str]:
    """The words behind some `(row, step)` of codes with `steps` steps a clip, in one pass over the words."""
    wanted: dict[int, list[int]] = {}
    for row, step in places:
        wanted.setdefault(row, []).append(step)
    return {
        (row, step): " ".join(_behind(words, step, steps))
        for row, words in enumerate(clips.tokens(modality))
        for step in wanted.get(row, ())
    }


def _behind(words: Sequence[str | None], step: int, steps: int) -> list[str]:
    """The word of a step, or all words of a clip that has a single code."""
    return [word for word in (words[step : step + 1] if steps == len(words) else words) if word]
