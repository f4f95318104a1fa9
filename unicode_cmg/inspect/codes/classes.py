"""How the classes of labelled clips fall on the codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from unicode_cmg.data.labelled import UNKNOWN, StepClasses
from unicode_cmg.inspect.codes.codes_json import CodeByClass
from unicode_cmg.inspect.codes.readings import NO_CODE, Reading, read_background

_EXAMPLES = 4


class ClassCounter:
    """Keeps the code and the class of each step of clips with labels.

    Args:
        known: The classes of the steps.
        ids: Name of each clip.
        modalities: Which modalities are encoded.
    """

    def __init__(self, known: StepClasses, ids: Sequence[str], modalities: Sequence[str]) -> None:
        self.known, self._ids = known, ids
        self._codes: dict[str, list[Int64[np.ndarray, "batch time"]]] = {m: [] for m in modalities}
        self._classes: dict[str, list[Int64[np.ndarray, "batch time"]]] = {m: [] for m in modalities}

    def add(
        self,
        modality: str,
        indices: Int64[np.ndarray, " batch"],
        codes: Int64[Tensor, "batch time"],
        mask: Bool[Tensor, "batch time"],
    ) -> Bool[Tensor, "batch time"]:
        """Take note of the next clips.

        Returns:
            True where a valid step has an event.
        """
        classes = self.known.of(modality, indices, codes.shape[1])
        labelled = mask & torch.from_numpy(classes != UNKNOWN).to(mask.device)
        self._codes[modality].append(codes.masked_fill(~labelled, NO_CODE).cpu().numpy())
        self._classes[modality].append(classes)
        return labelled & torch.from_numpy(classes != len(self.known.names)).to(mask.device)

    def result(self, num_codes: int) -> tuple[list[CodeByClass], dict[str, float]]:
        """For each code its use by class; and for each modality the share of its steps that bear the most
        frequent class its code has in it."""
        tables, examples, columns = {}, {}, self.known.columns
        for m in self._codes:
            codes, classes = np.concatenate(self._codes[m]), np.concatenate(self._classes[m])
            valid = codes != NO_CODE
            pairs = codes[valid] * columns + classes[valid]
            tables[m] = np.bincount(pairs, minlength=num_codes * columns).reshape(num_codes, columns)
            examples[m] = self._examples(codes, classes != len(self.known.names))
        together = sum(tables.values(), np.zeros((num_codes, columns), dtype=np.int64))
        by_code = [
            CodeByClass(
                counts={m: tuple(table[code].tolist()) for m, table in tables.items()},
                purity=float(row.max() / row.sum()) if row.any() else None,
                examples={m: places.get(code, ()) for m, places in examples.items()},
            )
            for code, row in enumerate(together)
        ]
        return by_code, {m: float(t.max(axis=1).sum() / max(t.sum(), 1)) for m, t in tables.items()}

    def readings(self) -> dict[str, Reading]:
        """Modality -> what its codes tell in events and in background; not of one without background."""
        if self.known.seconds is None:
            return {}
        found = {
            m: read_background(
                np.concatenate(self._codes[m]),
                np.concatenate(self._classes[m]),
                self.known.clips,
                self._ids,
                background=len(self.known.names),
            )
            for m in self._codes
        }
        return {m: reading for m, reading in found.items() if reading is not None}

    def _examples(
        self, codes: Int64[np.ndarray, "clips time"], events: Bool[np.ndarray, "clips time"]
    ) -> dict[int, tuple[tuple[int, int], ...]]:
        """A few places of each code, among events where it occurs in any."""
        examples = {}
        for code in np.unique(codes[codes != NO_CODE]).tolist():
            here = codes == code
            here = here & events if (here & events).any() else here
            clips = np.flatnonzero(here.any(axis=1))
            spread = clips[np.unique(np.linspace(0, len(clips) - 1, _EXAMPLES).astype(np.int64))]
            examples[code] = tuple((int(self.known.rows[clip]), int(here[clip].argmax())) for clip in spread)
        return examples
