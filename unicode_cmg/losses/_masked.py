"""The parts that losses share: precision, masks, and the contrast of each clip with the others of a batch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from unicode_cmg import ranks
from unicode_cmg.batch import cleared as cleared


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Half precision raised to float32; float32 and float64 as they are."""
    return x.float() if torch.finfo(x.dtype).bits < 32 else x


def in_both(
    first: Bool[Tensor, "*shape"] | None, second: Bool[Tensor, "*shape"] | None
) -> Bool[Tensor, "*shape"] | None:
    """Where two masks are both True; None stands for a mask that is True everywhere."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"] | None) -> Float[Tensor, ""]:
    """Mean of `values` where `mask` is True; 0 where it never is."""
    if mask is None:
        return values.mean()
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def mean_of_clips(
    values: Float[Tensor, rows * shape], mask: Bool[Tensor, rows * shape] | None
) -> Float[Tensor, ""]:
    """`masked_mean` over the whole batch of which this rank has some rows."""
    mask = ranks.real(mask, values)
    if mask is None:
        return values.mean()
    return ranks.mean_of_batch(torch.where(mask, values, 0).sum(), mask.sum())


def contrast(
    scores: Float[Tensor, "batch batch"], valid: Bool[Tensor, " batch"] | None, dim: int
) -> Float[Tensor, ""]:
    """Loss `-mean_i log softmax(scores)[i, i]`; 0 where no clip takes part.

    Args:
        scores: `[N, N]` of a whole batch, in float32 or better; clip i matches clip i.
        valid: `[N]`, which clips take part, both as positives and as negatives; all of them if None.
        dim: -1 to compare the entries of a row, -2 those of a column.
    """
    lines, right = scores if dim == -1 else scores.mT, torch.arange(len(scores), device=scores.device)
    return masked_mean(contrast_by_line(lines, right, valid)[0], valid)


def contrast_by_line(
    scores: Float[Tensor, "*pairs lines entries"],
    right: Int64[Tensor, " lines"],
    valid: Bool[Tensor, "*pairs entries"] | None,
    others: Float[Tensor, "*pairs lines others"] | None = None,
) -> tuple[Float[Tensor, "*pairs lines"], Bool[Tensor, "*pairs lines"]]:
    """`-log softmax` of the right entry of each line, and whether that entry is the best of the line.

    Args:
        scores: `[..., L, N]`, in float32 or better.
        right: `[L]`, the right entry of each line; where that takes no part, the line means nothing.
        valid: `[..., N]`, which entries take part; all of them if None.
        others: `[..., L, S]` scores of further entries of each line, -inf where there is none.
    """
    if valid is not None:
        scores = scores.masked_fill(~valid.unsqueeze(-2), -torch.finfo(scores.dtype).max)
    lines = scores if others is None else torch.cat([scores, others], -1)
    at = right.expand(scores.shape[:-1]).unsqueeze(-1)
    losses = -functional.log_softmax(lines, -1).gather(-1, at).squeeze(-1)
    return losses, lines.detach().argmax(-1) == right
