"""One step of an exponential moving average over codes, as released and as corrected."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def laplace_smoothing(count: Float[Tensor, " codes"], epsilon: float) -> Float[Tensor, " codes"]:
    """Counts moved towards their mean, so that none is zero; same sum: `(n + eps) / (N + H eps) N`."""
    total = count.sum()
    return (count + epsilon) / (total + len(count) * epsilon) * total


def released_step(
    embedding: Float[Tensor, "codes dim"],
    ema_count: Float[Tensor, " codes"],
    ema_weight: Float[Tensor, "codes dim"],
    counts: Float[Tensor, " codes"],
    sums: Float[Tensor, "codes dim"],
    *,
    decay: float,
    epsilon: float,
) -> None:
    """The released update for one modality, in place; the smoothed count becomes the running count.

    As counts start at zero, the first step divides the untouched codes by about `epsilon`.
    """
    ema_count.copy_(laplace_smoothing(ema_count * decay + counts * (1 - decay), epsilon))
    ema_weight.mul_(decay).add_(sums, alpha=1 - decay)
    torch.div(ema_weight, ema_count.unsqueeze(-1), out=embedding)


def corrected_step(
    embedding: Float[Tensor, "codes dim"],
    ema_count: Float[Tensor, " codes"],
    ema_weight: Float[Tensor, "codes dim"],
    counts: Float[Tensor, " codes"],
    sums: Float[Tensor, "codes dim"],
    *,
    decay: float,
    epsilon: float,
) -> None:
    """One update for all modalities together, in place; the count is smoothed only to divide by it.

    A code nobody chose keeps its place: its count and its weight decay alike, so their ratio has not changed,
    and the smoothing would only shrink it towards the origin.
    """
    ema_count.mul_(decay).add_(counts, alpha=1 - decay)
    ema_weight.mul_(decay).add_(sums, alpha=1 - decay)
    moved = ema_weight / laplace_smoothing(ema_count, epsilon).unsqueeze(-1)
    embedding.copy_(torch.where(counts.unsqueeze(-1) > 0, moved, embedding))
