"""InfoNCE between two views of the same clips."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import positive
from unicode_cmg.losses._masked import at_least_float32, cleared, contrast
from unicode_cmg.ranks import gather, real


def info_nce(
    query: Float[Tensor, "batch dim"],
    key: Float[Tensor, "batch dim"],
    temperature: float = 0.1,
    *,
    symmetric: bool = False,
    mask: Bool[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """`-1/N sum_i log softmax_j(sim(c_i^M, c_j^N) / tau)_i` with the cosine as `sim` (FCID paper eq. 16).

    The paper uses a temperature of 1, the released code 0.1. Computed in float32 or better under autocast.

    Args:
        query: `[N, D]` c^M, one row a clip.
        key: `[N, D]` c^N; row i is the positive of query i, the other rows are its negatives.
        temperature: tau, which divides the cosines.
        symmetric: Average with the loss whose queries are the keys.
        mask: True where a clip has both; the others are neither positives nor negatives.

    Raises:
        InputError: The temperature is not positive.

    >>> clips = torch.eye(3)
    >>> bool(info_nce(clips, clips) < info_nce(clips, clips.roll(1, 0)))
    True
    """
    positive("info_nce", temperature=temperature)
    with torch.autocast(query.device.type, enabled=False):
        query, key = (functional.normalize(at_least_float32(cleared(x, mask)), dim=-1) for x in (query, key))
        mask = real(mask, query[:, 0])
        query, key = gather(query), gather(key)
        mask = None if mask is None else gather(mask)
        logits = query @ key.t() / temperature
        loss = contrast(logits, mask, dim=-1)
        return (loss + contrast(logits, mask, dim=-2)) / 2 if symmetric else loss
