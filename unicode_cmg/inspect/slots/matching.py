"""From a run and a feature store to which slots belong together, and what they attend to."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unicode_cmg.batch import StepView
from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError, at_least
from unicode_cmg.inspect.slots.slots_json import (
    Counts,
    JointSlot,
    MatchedSlot,
    MatchedSlots,
    Moments,
    SlotClip,
    SlotToken,
    TeacherTokens,
)
from unicode_cmg.methods.base import Method
from unicode_cmg.regularizers.slot_alignment import SlotAlignment
from unicode_cmg.regularizers.slot_alignment.records import (
    Alignment,
    Decomposition,
    TokenLayout,
    TokenLayouts,
)
from unicode_cmg.training import load_regularizers

_BATCH = 32
_DIGITS = 6


def matched_slots(
    path: str | Path,
    store: FeatureStore,
    *,
    clips: int | Sequence[str] = 8,
    tokens: int = 20,
    seed: int = 0,
    trust_code: bool = False,
) -> MatchedSlots:
    """Which slots of the teachers align with the same joint slot, and which tokens they are made of.

    This is what figure 2 of the SGA paper shows (its section 4): of each slot of a teacher that is paired
    with a joint slot (eq. 2), the tokens that contribute most to it (`A` of eq. 7). Slots start from one
    draw, the same for all clips, so what is found in a clip does not depend on which others are looked at.

    Args:
        path: The folder of a run with `slot_alignment`, or one of its checkpoints.
        store: Features of the kind the run was trained on.
        clips: The first so many, or their ids.
        tokens: How many to list for each slot at most; of a short sequence three in ten.
        seed: Seed of the slots' start.
        trust_code: Whether to import and run what the run's configuration names as `package.module:callable`.

    Raises:
        InputError: There is no checkpoint of such a run, the store lacks what it reads, or a clip is unknown.
    """
    at_least("slots", 1, tokens=tokens)
    rows = _rows(store, clips)
    method, regularizers = load_regularizers(path, store, trust_code=trust_code)
    alignment = next((member for member in regularizers if isinstance(member, SlotAlignment)), None)
    if alignment is None:
        names = ", ".join(member.name for member in regularizers)
        raise InputError(
            f"the run has no slots, it was trained with {names}",
            where=path,
            expected=f"{SlotAlignment.name} among its regularizers",
        )
    reads = tuple(dict.fromkeys((*method.modalities, *alignment.columns(alignment.config))))
    words = {column: _words(store, column, rows) for column in reads if column in store.tokenized}
    with torch.no_grad():
        layouts = alignment.token_layout(_view(method, store, rows[:1], reads))
    teachers = {m: _teacher_tokens(layout) for m, layout in layouts.teachers.items()}
    moments = _MomentCounter(teachers, words)
    found: list[SlotClip] = []
    for first in range(0, len(rows), _BATCH):
        chunk = rows[first : first + _BATCH]
        with torch.no_grad():
            view = _view(method, store, chunk, reads)
            slots = alignment.align(view, generator=torch.Generator().manual_seed(seed))
        moments.add(slots, layouts.teachers)
        found += [
            _Clip(slots, layouts, at, {c: of[row] for c, of in words.items()}, tokens).record(store.ids[row])
            for at, row in enumerate(chunk)
        ]
    return MatchedSlots(
        method=method.name,
        checkpoint=state_fingerprint(nn.ModuleList([method, alignment])),
        features=store.fingerprint,
        seed=seed,
        slots=alignment.config.slots,
        teachers=teachers,
        moments=moments.result(),
        clips=tuple(found),
    )


def _rows(store: FeatureStore, clips: int | Sequence[str]) -> list[int]:
    if isinstance(clips, int):
        at_least("slots", 1, clips=clips)
        return list(range(min(clips, len(store))))
    numbers = {clip: row for row, clip in reversed(list(enumerate(store.ids)))}
    for clip in clips:
        if clip not in numbers:
            raise InputError(f"no clip '{clip}'", where=store.path, expected=f"ids such as '{store.ids[0]}'")
    if not clips:
        raise InputError("no clip", where="clips", expected="a number, or ids")
    return [numbers[clip] for clip in dict.fromkeys(clips)]


def _view(method: Method[Any], store: FeatureStore, rows: Sequence[int], reads: Iterable[str]) -> StepView:
    batch = store.batch(rows, modalities=reads)
    own = batch.only(method.modalities)
    return method.view(own, method.represent(own)).with_columns(batch)


def _words(store: FeatureStore, column: str, rows: Sequence[int]) -> dict[int, tuple[str | None, ...]]:
    """The words of some clips, in one pass up to the last of them."""
    wanted, first = set(rows), islice(store.tokens(column), max(rows) + 1)
    return {row: words for row, words in enumerate(first) if row in wanted}


def _teacher_tokens(layout: TokenLayout) -> TeacherTokens:
    sizes = [int(values.max()) + 1 or None for values in (layout.step, layout.row, layout.col)]
    column = layout.columns[int(layout.column[0])]
    return TeacherTokens(column=column, steps=sizes[0], rows=sizes[1], cols=sizes[2])


@dataclass(frozen=True)
class _Clip:
    """One clip of a batch: its part of everything, on the way to a record.

    Attributes:
        slots, layouts: Of the batch.
        at: Its place in the batch.
        words: Column -> its words.
        most: How many tokens to list for a slot.
    """

    slots: Alignment
    layouts: TokenLayouts
    at: int
    words: Mapping[str, tuple[str | None, ...]]
    most: int

    def record(self, clip: str) -> SlotClip:
        """Everything that is told about it."""
        found = [self._joint_slot(number) for number in range(self.slots.joint.keep.shape[1])]
        paired = [slot for slot in found if slot.teachers]
        return SlotClip(
            clip=clip,
            words=dict(self.words),
            joint=self._counts(self.slots.joint),
            teachers={m: self._counts(part) for m, part in self.slots.teachers.items()},
            slots=tuple(sorted(paired, key=_order)),
        )

    def _counts(self, part: Decomposition) -> Counts:
        valid = part.attention[self.at].sum(1) > 0
        return Counts(tokens=int(valid.sum()), slots=int((part.keep[self.at] > 0.5).sum()))

    def _joint_slot(self, number: int) -> JointSlot:
        layout, weights = self.layouts.joint, self.slots.joint.weights[self.at, :, number]
        shares = {name: weights[layout.column == k].sum() for k, name in enumerate(layout.columns)}
        matches = {m: self._matches(m, number) for m in self.slots.teachers}
        return JointSlot(
            slot=number,
            columns={name: round(float(share), _DIGITS) for name, share in shares.items()},
            teachers={m: slots for m, slots in matches.items() if slots},
        )

    def _matches(self, teacher: str, number: int) -> tuple[MatchedSlot, ...]:
        """The teacher's slots in a pair with a joint slot, the most similar first."""
        similarity = self.slots.similarity[teacher][self.at, :, number]
        pairs = self.slots.pairs[teacher][self.at, :, number]
        order = similarity.argsort(descending=True, stable=True)
        weights = self.slots.teachers[teacher].weights[self.at]
        return tuple(
            MatchedSlot(
                slot=slot,
                similarity=round(float(similarity[slot]), _DIGITS),
                tokens=self._tokens(weights[:, slot], self.layouts.teachers[teacher]),
            )
            for slot in order.tolist()
            if pairs[slot]
        )

    def _tokens(self, weights: Float[Tensor, " tokens"], layout: TokenLayout) -> tuple[SlotToken, ...]:
        # the SGA paper shows 20 patches of an image, but 3 words of a sentence
        most = min(self.most, math.ceil(int((weights > 0).sum()) * 3 / 10))
        order = weights.argsort(descending=True, stable=True)[:most]
        tokens = []
        for number in order.tolist():
            places = (int(values[number]) for values in (layout.step, layout.row, layout.col))
            step, row, col = (None if place < 0 else place for place in places)
            words = self.words.get(layout.columns[int(layout.column[number])])
            word = words[step] if words is not None and step is not None else None
            weight = round(float(weights[number]), _DIGITS)
            tokens.append(SlotToken(token=number, step=step, row=row, col=col, word=word, weight=weight))
        return tuple(tokens)


def _order(slot: JointSlot) -> tuple[int, float, int]:
    best = [matches[0].similarity for matches in slot.teachers.values()]
    return -len(best), -sum(best), slot.slot


class _MomentCounter:
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
            first, second = (_step_shares(slots.teachers[m], layouts[m]) for m in pair)
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


def _step_shares(part: Decomposition, layout: TokenLayout) -> Float[Tensor, "batch steps slots"]:
    """What share of each slot is from the tokens of each step."""
    batch, _, slots = part.weights.shape
    shares = part.weights.new_zeros(batch, int(layout.step.max()) + 1, slots)
    return shares.index_add(1, layout.step, part.weights)


def _mean(total_and_count: Float[Tensor, " 2"]) -> float | None:
    total, count = total_and_count.tolist()
    return round(total / count, _DIGITS) if count else None
