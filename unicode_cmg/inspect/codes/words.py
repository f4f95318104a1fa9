"""Which words fall on which codes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice

import numpy as np
from jaxtyping import Bool, Int64

from unicode_cmg.data.store import FeatureStore


class WordCounter:
    """Counts the words of one modality by code, from a stream of clips; memory grows with the vocabulary.

    Args:
        store: A store with the words of this modality.
        modality: Which.
        num_codes: How many codes there are.
    """

    def __init__(self, store: FeatureStore, modality: str, num_codes: int) -> None:
        self._clips = store.tokens(modality)
        self._counts: list[Counter[str]] = [Counter() for _ in range(num_codes)]
        self._anywhere: Counter[str] = Counter()
        self._vocabulary: dict[str, int] = {}

    def add(
        self, codes: Int64[np.ndarray, "batch time"], mask: Bool[np.ndarray, "batch time"]
    ) -> Int64[np.ndarray, " steps"] | None:
        """Count the words of the next clips of the store.

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
    store: FeatureStore, modality: str, places: Collection[tuple[int, int]], steps: int
) -> dict[tuple[int, int], str]:
    """The words behind some `(row, step)` of codes with `steps` steps a clip, in one pass over the words."""
    wanted: dict[int, list[int]] = {}
    for row, step in places:
        wanted.setdefault(row, []).append(step)
    return {
        (row, step): " ".join(_behind(words, step, steps))
        for row, words in enumerate(store.tokens(modality))
        for step in wanted.get(row, ())
    }


def _behind(words: Sequence[str | None], step: int, steps: int) -> list[str]:
    """The word of a step, or all words of a clip that has a single code."""
    return [word for word in (words[step : step + 1] if steps == len(words) else words) if word]
