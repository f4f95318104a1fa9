"""Precision and masks, the same for every loss."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Half precision raised to float32; float32 and float64 as they are."""
    return x.float() if torch.finfo(x.dtype).bits < 32 else x


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"] | None) -> Float[Tensor, ""]:
    """Mean of `values` where `mask` is True; 0 where it never is."""
    if mask is None:
        return values.mean()
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def mean_squared_error(
    prediction: Float[Tensor, "batch time *feature"],
    target: Float[Tensor, "batch time *feature"],
    mask: Bool[Tensor, "batch time"] | None,
) -> Float[Tensor, ""]:
    """Mean over every element of the valid steps; whatever padding holds, NaN included, has no effect."""
    prediction, target = at_least_float32(prediction), at_least_float32(target)
    if mask is None:
        return functional.mse_loss(prediction, target)
    difference = prediction - target
    kept = torch.where(mask.view(*mask.shape, *[1] * (difference.ndim - 2)), difference, 0)
    return kept.square().sum() / (mask.sum() * kept[0, 0].numel()).clamp(min=1)
