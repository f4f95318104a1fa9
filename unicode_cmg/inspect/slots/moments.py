"""Do slots that belong together look at the same moments of a clip?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from unicode_cmg.inspect.slots.record import Moments, TeacherTokens
from unicode_cmg.regularizers.slot_alignment.records import Alignment, Decomposition, TokenLayout


class MomentCounter:
    """Compares the slots of two teachers, of those whose steps are the same moments.

    The overlap of two slots is what they have in common as distributions over the steps, the sum of the
    smaller shares: 1 if they spread alike, 0 if no step has tokens of both. Slots are matched if they are in
    a pair with the same joint slot; all others that are kept tell what to expect of slots that are not.

    Args:
        teachers: What the tokens of each teacher are.
        worded: Columns whose steps are words, which happen at no particular moment.
    """

    def __init__(self, teachers: Mapping[str, TeacherTokens], worded: Collection[str]) -> None:
        timed = {m: one.steps for m, one in teachers.items() if one.steps and one.column not in worded}
        self._pairs = [(a, b) for a, b in combinations(timed, 2) if timed[a] == timed[b]]
        self._sums = {pair: torch.zeros(2, 2, dtype=torch.float64) for pair in self._pairs}

    def add(self, slots: Alignment, layouts: Mapping[str, TokenLayout]) -> None:
        """Take note of the next clips."""
        for pair in self._pairs:
            first, second = (step_shares(slots.teachers[m], layouts[m]) for m in pair)
            overlap = torch.minimum(first.unsqueeze(3), second.unsqueeze(2)).sum(1)
            kept = [slots.teachers[m].keep > 0.5 for m in pair]
            either = kept[0].unsqueeze(2) & kept[1].unsqueeze(1)
            joined = [slots.pairs[m].float() for m in pair]
            matched = (joined[0] @ joined[1].mT) > 0
            for row, chosen in enumerate((matched, either & ~matched)):
                self._sums[pair][row] += torch.stack([overlap[chosen].sum(), chosen.sum()])

    def result(self) -> tuple[Moments, ...]:
        """The mean overlaps."""
        return tuple(
            Moments(teachers=pair, matched=_mean(sums[0]), others=_mean(sums[1]))
            for pair, sums in self._sums.items()
        )


def step_shares(part: Decomposition, layout: TokenLayout) -> Float[Tensor, "batch steps slots"]:
    """What share of each slot is from the tokens of each step."""
    batch, _, slots = part.weights.shape
    shares = part.weights.new_zeros(batch, int(layout.step.max()) + 1, slots)
    return shares.index_add(1, layout.step, part.weights)


def _mean(total_and_count: Float[Tensor, " 2"]) -> float | None:
    total, count = total_and_count.tolist()
    return round(total / count, 6) if count else None
