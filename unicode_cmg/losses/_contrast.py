"""Each clip against the other clips of its batch: the cross-entropy under every contrastive loss."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


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
    if valid is not None:
        pairs = valid.unsqueeze(-1) & valid.unsqueeze(-2)
        scores = scores.masked_fill(~pairs, -torch.finfo(scores.dtype).max)
    losses = -functional.log_softmax(scores, dim).diagonal(dim1=-2, dim2=-1)
    hits = scores.detach().argmax(dim) == torch.arange(scores.shape[-1], device=scores.device)
    if valid is None:
        return losses.mean(-1), hits.to(losses.dtype).mean(-1)
    clips = valid.sum(-1).clamp(min=1)
    return torch.where(valid, losses, 0).sum(-1) / clips, (hits & valid).sum(-1).to(losses.dtype) / clips
