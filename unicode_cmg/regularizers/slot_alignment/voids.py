"""Void slots: what no token chooses stands for nothing, even where it looks like a slot that does."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def chosen_first(
    attention: Float[Tensor, "batch tokens slots"], mask: Bool[Tensor, "batch tokens"]
) -> Bool[Tensor, "batch slots"]:
    """Slots that have the largest attention of at least one token; of equal ones the first."""
    slots = torch.arange(attention.shape[2], device=attention.device)
    first = attention.argmax(2, keepdim=True) == slots
    return (first & mask.unsqueeze(2)).any(1)


def without_void(
    keep: Float[Tensor, "batch slots"],
    probability: Float[Tensor, "batch slots"],
    chosen: Bool[Tensor, "batch slots"],
    minimum: int,
) -> Float[Tensor, "batch slots"]:
    """`keep` with the void slots dropped.

    Args:
        keep: 0 or 1, usually with a straight-through gradient.
        probability: Of being kept; where slots are missing, the most probable ones are added without
            gradient, void ones last.
        chosen: True where a slot is not void.
        minimum: Slots that stay at least.
    """
    kept = keep * chosen
    rank = 2 * kept.detach() + chosen + probability.detach()
    needed = torch.zeros_like(chosen).scatter(1, rank.topk(minimum, dim=1).indices, True)
    return kept.masked_fill(needed & (kept < 0.5), 1)
