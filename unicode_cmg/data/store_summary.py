"""`unicode-cmg data info`: what is in a feature store."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

from unicode_cmg.config import Config
from unicode_cmg.data.store import FeatureStore

_MOST_VALUES = 1000  # a column with more is not one of classes
_SHOWN = 8


class ModalitySummary(Config):
    """A modality of a store: the shape `[T, ...]` of a clip, and how many clips have how many valid steps."""

    shape: tuple[int, ...]
    dtype: str
    clips: int
    share: float
    fewest_steps: int
    most_steps: int
    words: bool
    megabytes: float


class StoreSummary(Config):
    """What is in a store.

    Attributes:
        store: Its folder.
        clips, parts: How many it has.
        modalities: By name.
        pairs: "audio-video" -> clips that have both.
        columns: Name -> value -> clips with it, the most frequent first; an empty string is an unknown
            value, and several values of one clip, separated by ';', count each.
        distinct: Name -> how many values a column has, for those with too many to count.
        source: What the writer noted about the origin of the features.
    """

    store: str
    clips: int
    parts: int
    modalities: dict[str, ModalitySummary]
    pairs: dict[str, int]
    columns: dict[str, dict[str, int]]
    distinct: dict[str, int]
    source: dict[str, Any]

    @classmethod
    def of(cls, store: FeatureStore) -> StoreSummary:
        """Count; no features are read.

        Raises:
            InputError: A file is damaged.
        """
        present, dtypes = store.present, store.dtypes
        counts, distinct = {}, {}
        for name, values in store.columns.items():
            found = Counter(one for value in values for one in value.split(";"))
            if len(found) > min(_MOST_VALUES, max(2, len(store) // 2)):
                distinct[name] = len(found)
            else:
                counts[name] = dict(found.most_common())
        modalities = {}
        for name, shape in store.modalities.items():
            steps = store.valid_steps(name)
            steps = steps[steps > 0]
            files = (part.path / f"{name}.npy" for part in store.parts if name in part.modalities)
            modalities[name] = ModalitySummary(
                shape=shape,
                dtype=dtypes[name],
                clips=len(steps),
                share=len(steps) / len(store),
                fewest_steps=int(steps.min(initial=shape[0])),
                most_steps=int(steps.max(initial=0)),
                words=name in store.tokenized,
                megabytes=round(sum(file.stat().st_size for file in files) / 1e6, 3),
            )
        return cls(
            store=str(store.path),
            clips=len(store),
            parts=len(store.parts),
            modalities=modalities,
            pairs={f"{a}-{b}": int((present[a] & present[b]).sum()) for a, b in combinations(present, 2)},
            columns=counts,
            distinct=distinct,
            source=dict(store.source),
        )

    def text(self) -> str:
        """The summary as lines for people."""
        parts = f" in {self.parts} parts" if self.parts > 1 else ""
        lines = [f"{self.store}: {self.clips} clips{parts}"]
        width = max(map(len, self.modalities))
        for name, one in self.modalities.items():
            fewest, most = one.fewest_steps, one.most_steps
            steps = f"{most} steps" if fewest == most else f"{fewest} to {most} steps"
            step = " x ".join(map(str, one.shape[1:]))
            words = ", with words" if one.words else ""
            lines.append(
                f"  {name:<{width}}  {steps} of {step} {one.dtype}{words}, {one.megabytes:.3g} MB,"
                f" in {one.clips} clips ({100 * one.share:.1f} %)"
            )
        if any(count < self.clips for count in self.pairs.values()):
            lines.append("clips that have both: " + ", ".join(f"{p} {n}" for p, n in self.pairs.items()))
        for name, counts in self.columns.items():
            shown = ", ".join(f"{value or '(unknown)'} {n}" for value, n in list(counts.items())[:_SHOWN])
            more = f", and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
            lines.append(f"column {name}, {len(counts)} values: {shown}{more}")
        lines += [f"column {name}, {count} different values" for name, count in self.distinct.items()]
        lines += [f"source {key}: {value}" for key, value in self.source.items()]
        return "\n".join(lines)


def store_summary(path: str | Path) -> StoreSummary:
    """What is in a store.

    Raises:
        InputError: It is no store, or is damaged.
    """
    return StoreSummary.of(FeatureStore.open(path))
