"""Who uses which code: shared by all modalities, by some, or owned by one (FCID paper, section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

SINGLE_ABOVE, SHARED_FROM = 0.95, 0.05

SHARED, BETWEEN, SINGLE, UNUSED = "shared", "between", "single", "unused"
KINDS = (SHARED, BETWEEN, SINGLE, UNUSED)


@dataclass(frozen=True)
class Sharing:
    """Each code's kind, and each modality's part in it.

    Attributes:
        modalities: M names.
        parts: `[H, M]`, rows of used codes sum to 1, those of unused codes to 0.
        kinds: `[H]` of `shared` (every modality has at least 5 %), `single` (one has more than 95 %),
            `between`, `unused`; the paper paints them green, red and blue.
    """

    modalities: list[str]
    parts: Float[np.ndarray, "codes modalities"]
    kinds: list[str]

    def count(self, kind: str) -> int:
        """Number of codes of a kind."""
        return self.kinds.count(kind)


def sharing_of(counts: Mapping[str, Int[np.ndarray, " codes"]], *, raw: bool = False) -> Sharing:
    """Classify the codes.

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
    return Sharing(list(counts), parts, kinds.tolist())
