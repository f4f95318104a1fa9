"""The parts that losses share: precision, masks, and the contrast of each clip with the others of a batch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

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


def contrast(
    scores: Float[Tensor, "*pairs batch batch"], valid: Bool[Tensor, "*pairs batch"] | None, dim: int
) -> tuple[Float[Tensor, "*pairs"], Float[Tensor, "*pairs"]]:
    """Loss `-mean_i log softmax(scores)[i, i]` and how often the diagonal is the best of its line.

    Args:
        scores: `[..., N, N]`, in float32 or better; clip i matches clip i.
        valid: `[..., N]`, which clips take part, both as positives and as negatives; all of them if None.
        dim: -1 to compare the entries of a row, -2 those of a column.

    Returns:
        Loss and accuracy, each `[...]`; both 0 where no clip takes part. The accuracy has no gradient.
    """
    losses, hits = contrast_by_clip(scores, valid, dim)
    if valid is None:
        return losses.mean(-1), hits.to(losses.dtype).mean(-1)
    clips = valid.sum(-1).clamp(min=1)
    return torch.where(valid, losses, 0).sum(-1) / clips, (hits & valid).sum(-1).to(losses.dtype) / clips


def contrast_by_clip(
    scores: Float[Tensor, "*pairs batch batch"],
    valid: Bool[Tensor, "*pairs batch"] | None,
    dim: int,
    others: Float[Tensor, "*pairs batch others"] | None = None,
) -> tuple[Float[Tensor, "*pairs batch"], Bool[Tensor, "*pairs batch"]]:
    """What `contrast` averages: loss of each clip, meaningless where it is not valid, and whether it hit.

    Args:
        scores: As for `contrast`.
        valid: As for `contrast`.
        dim: As for `contrast`.
        others: `[..., N, S]` scores of further negatives of each clip, -inf where there is none.
    """
    if valid is not None:
        pairs = valid.unsqueeze(-1) & valid.unsqueeze(-2)
        scores = scores.masked_fill(~pairs, -torch.finfo(scores.dtype).max)
    right = torch.arange(scores.shape[-1], device=scores.device)
    if others is None:
        losses = -functional.log_softmax(scores, dim).diagonal(dim1=-2, dim2=-1)
        return losses, scores.detach().argmax(dim) == right
    lines = scores if dim == -1 else scores.mT
    lines = torch.cat([lines, others], -1)
    losses = lines.logsumexp(-1) - scores.diagonal(dim1=-2, dim2=-1)
    return losses, lines.detach().argmax(-1) == right
