"""The shared codebook under the two rules that the papers print and neither we nor the released code use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unicode_cmg.codebook.pulls import Choices
from unicode_cmg.codebook.shared import SharedCodebook
from unicode_cmg.ranks import sum_over_ranks


class PaperSharedCodebook(SharedCodebook):
    """Companions weighted by cross-attention, and codes kept only while every modality uses them.

    As the DCID paper describes MM-EMA: the feature `z_i` that chose a code pulls it together with, of each
    other modality, `cross-att(z_i, z', z')` over the steps of the same clip, and a code that is not used by
    all modalities within N_re batches is revived. What the attention is made of is ours: no parameters,
    scores scaled by the root of D. A modality that a batch lacks does not count as one that leaves codes
    unused.

    Arguments and errors are those of `SharedCodebook`. A further buffer, `unused` `[modalities, H]`, counts
    the updates since each modality used a code.
    """

    unused: Tensor

    def __init__(self, num_codes: int, dim: int, modalities: Sequence[str], **settings: Any) -> None:
        super().__init__(num_codes, dim, modalities, **settings)
        self.register_buffer("unused", torch.zeros(len(self.modalities), num_codes, dtype=torch.int64))

    def _pulls(self, choices: Sequence[Choices]) -> list[Float[Tensor, "batch _ dim"]]:
        return [_mixed(own, [c for c in choices if c is not own], self.own_weight) for own in choices]

    def _note_use(self, counts: Float[Tensor, " codes"], choices: Mapping[str, Choices]) -> None:
        each = self.ema_count.new_zeros(self.unused.shape)
        for name, choice in choices.items():
            each[self.modalities.index(name)].index_add_(0, choice.codes, choice.valid.flatten())
        (each,) = sum_over_ranks(each)
        took_part = each.sum(1, keepdim=True) > 0
        idle = torch.where(each > 0, 0, self.unused + 1)
        self.unused.copy_(torch.where(took_part, idle, self.unused))
        self.idle.copy_(self.unused.amax(0))

    def _revive(self, dead: Bool[Tensor, " codes"], fresh: Float[Tensor, "codes dim"]) -> None:
        super()._revive(dead, fresh)
        self.unused.masked_fill_(dead, 0)


def _mixed(own: Choices, others: Sequence[Choices], own_weight: float) -> Float[Tensor, "batch time dim"]:
    """What pulls the codes of a modality: itself, and what it attends to in each other one."""
    companions = [_attended(own, other) for other in others]
    number = sum((there for _, there in companions), torch.zeros_like(own.valid))
    share = torch.where(number > 0, (1 - own_weight) / number.clamp(min=1), 0) * own.valid
    pull = own.features * (own.valid - number * share).unsqueeze(-1)
    for attended, there in companions:
        pull = pull + attended * (share * there).unsqueeze(-1)
    return pull


def _attended(
    own: Choices, other: Choices
) -> tuple[Float[Tensor, "batch time dim"], Float[Tensor, "batch time"]]:
    """`softmax(z z'^T / sqrt(D)) z'` over the steps of the same clip, and 1 where there is such a step."""
    there = (other.valid.sum(1, keepdim=True) > 0).to(own.valid.dtype).expand_as(own.valid)
    scores = own.features @ other.features.mT / math.sqrt(own.features.shape[-1])
    weights = scores.masked_fill(other.valid[:, None] == 0, -torch.inf).softmax(-1)
    return weights.nan_to_num() @ other.features, there
