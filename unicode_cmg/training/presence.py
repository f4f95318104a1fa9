"""Which clips have which modality: counted before training, and reduced where the settings ask for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import write_text
from unicode_cmg.training.config import DataConfig
from unicode_cmg.training.randomness import missing_draws

Clips = Int64[np.ndarray, " clips"]


@dataclass(frozen=True)
class ClipCounts:
    """How many of the clips to train on have each modality, and each pair of modalities.

    Attributes:
        clips: Clips to train on.
        modalities: Modality -> clips that have it.
        pairs: Two modalities -> clips that have both.
    """

    clips: int
    modalities: Mapping[str, int]
    pairs: Mapping[tuple[str, str], int]

    @property
    def complete(self) -> bool:
        """Whether every clip has every modality."""
        return set(self.modalities.values()) == {self.clips}

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The modalities that occur together, directly or through others; one group if all are connected."""
        groups = [{m} for m in self.modalities]
        for pair in (pair for pair, count in self.pairs.items() if count):
            met = [group for group in groups if group & set(pair)]
            groups = [group for group in groups if group not in met] + [set.union(*met)]
        return tuple(tuple(m for m in self.modalities if m in group) for group in groups)

    def check(self, where: Path) -> None:
        """Refuse data in which a modality never occurs.

        Raises:
            InputError: No clip has it.
        """
        for m, count in self.modalities.items():
            if not count:
                raise InputError(
                    f"none of the {self.clips} clips to train on has the modality '{m}'",
                    where=where,
                    expected="clips with each modality that the method is configured for",
                    fix=f"remove '{m}' from method.modalities, or add clips that have it",
                )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        pairs = {"-".join(pair): count for pair, count in self.pairs.items()}
        return {"clips": self.clips, "modalities": dict(self.modalities), "pairs": pairs}

    def summary(self) -> str:
        """One line for people, and a second one if some modalities never meet the others."""
        if self.complete:
            return f"{self.clips} clips, each with {', '.join(self.modalities)}"
        parts = [f"{count} have {m}" for m, count in self.modalities.items()]
        parts += [f"{count} have {a} and {b}" for (a, b), count in self.pairs.items()]
        line = f"of {self.clips} clips {', '.join(parts)}"
        groups = self.groups
        if len(groups) > 1:
            names = " with ".join(", ".join(group) for group in groups)
            line += f"\nno clip connects {names}: nothing aligns them with each other"
        return line

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        write_text(path, json.dumps(self.to_json()) + "\n")


class Presence:
    """Which clips of a store have which modality, as the settings leave them.

    Args:
        present: Modality of the method -> which clips of the store have it.
        config: `missing` and `unpaired`.
        seed: Seed of what is left out.

    Raises:
        InputError: `unpaired` names a modality that the method does not have, or the same one twice.
    """

    def __init__(
        self, present: Mapping[str, Bool[np.ndarray, " clips"]], config: DataConfig, *, seed: int
    ) -> None:
        self._modalities = tuple(present)
        there = np.stack(list(present.values()), axis=1)
        self._kept = _reduced(there, self._modalities, config, seed)
        self._reduces = bool((there & ~self._kept).any())

    def counts(self, clips: Clips) -> ClipCounts:
        """Counts over some of the clips."""
        kept = dict(zip(self._modalities, self._kept[clips].T, strict=True))
        return ClipCounts(
            len(clips),
            {m: int(there.sum()) for m, there in kept.items()},
            {(a, b): int((kept[a] & kept[b]).sum()) for a, b in combinations(kept, 2)},
        )

    def reduce(self, batch: FeatureBatch, clips: Clips) -> FeatureBatch:
        """The batch of these clips without the modalities that the settings leave out."""
        if not self._reduces:
            return batch
        kept = {m: torch.from_numpy(self._kept[clips, k, None]) for k, m in enumerate(self._modalities)}
        masks = {m: mask & kept[m] if m in kept else mask for m, mask in batch.masks.items()}
        return FeatureBatch(batch.features, masks)


def _reduced(
    there: Bool[np.ndarray, "clips modalities"], names: tuple[str, ...], config: DataConfig, seed: int
) -> Bool[np.ndarray, "clips modalities"]:
    """What `missing` and `unpaired` leave of the modalities that are there."""
    draws = missing_draws(seed, len(there), len(names) + len(config.unpaired))
    kept = there.copy()
    for pair, coins in zip(config.unpaired, draws.T[len(names) :], strict=True):
        for name in pair:
            if name not in names:
                raise unknown("modality", name, names, where="data.unpaired")
        if len(set(pair)) < 2:
            raise InputError(f"'{pair[0]}' is paired with itself", where="data.unpaired")
        first, second = (names.index(name) for name in pair)
        both = kept[:, first] & kept[:, second]
        kept[:, first] &= ~both | (coins < 0.5)
        kept[:, second] &= ~both | (coins >= 0.5)
    of_modalities = np.where(kept, draws[:, : len(names)], -1)
    last = of_modalities == of_modalities.max(axis=1, keepdims=True)  # a clip keeps at least one modality
    kept &= (of_modalities >= config.missing) | last
    return kept
