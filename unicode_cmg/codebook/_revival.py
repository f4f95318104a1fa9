"""Where a code that nobody uses starts again."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_ACTIVE_WITHIN = 100  # updates; a released revival copies a code that was used more recently than this


def uniform(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Float32 draws from U[0, 1) on `device`, made where the generator lives; no device waits for them."""
    source = device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=source).to(device, non_blocking=True)


def batch_positions(
    dead: Bool[Tensor, " codes"],
    draws: Float[Tensor, " codes"],
    choices_by_rank: Float[Tensor, " world"],
    rank: int,
) -> Int64[Tensor, " codes"]:
    """For each dead code the n of an n-th valid choice of this rank; -1 for other codes and other ranks.

    The choices of all ranks, in order, are cut into as many equal strata as there are dead codes, and each
    code draws from its own stratum: with enough choices, codes revived together start at different places.
    """
    total = choices_by_rank.sum()
    strata = dead.cumsum(0)
    drawn = ((strata - 1 + draws) * (total / strata[-1].clamp(min=1))).long()
    drawn = torch.minimum(drawn, total.long() - 1)
    local = drawn - choices_by_rank[:rank].sum().long()
    return torch.where(dead, local, -1)


def reset(
    embedding: Float[Tensor, "codes dim"],
    ema_count: Float[Tensor, " codes"],
    ema_weight: Float[Tensor, "codes dim"],
    dead: Bool[Tensor, " codes"],
    fresh: Float[Tensor, "codes dim"],
) -> None:
    """Put each dead code on its row of `fresh`, in place, as if one choice had made it."""
    rows = dead.unsqueeze(-1)
    embedding.copy_(torch.where(rows, fresh, embedding))
    ema_weight.copy_(torch.where(rows, fresh, ema_weight))
    ema_count.masked_fill_(dead, 1)


def near_active_codes(
    embedding: Float[Tensor, "codes dim"],
    idle: Int64[Tensor, " codes"],
    dead: Bool[Tensor, " codes"],
    draws: Float[Tensor, " codes"],
    noise: Float[Tensor, "codes dim"],
) -> None:
    """The released revival, in place: each dead code becomes a copy of an active code plus noise.

    Args:
        embedding: Codewords; the only state that is written, as in the released code.
        idle: Updates since last use, or since the start; codes under 100 are active.
        dead: Codes to revive. They stay as they are when no code is active.
        draws: U[0, 1) draws that pick the active code.
        noise: What is added to the copy.
    """
    active = (idle < _ACTIVE_WITHIN) & ~dead
    number = active.sum()
    by_rank = torch.argsort(
        active.logical_not().long(), stable=True
    )  # active codes first, in ascending order
    chosen = by_rank[torch.minimum((draws * number).long(), (number - 1).clamp(min=0))]
    copies = embedding[chosen] + noise.to(embedding.dtype)
    embedding.copy_(torch.where((dead & (number > 0)).unsqueeze(-1), copies, embedding))
