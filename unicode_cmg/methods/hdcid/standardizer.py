"""What can stand between two layers of H-DCID: each channel at mean 0 and deviation 1."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unicode_cmg.ranks import sum_over_ranks

_DECAY = 0.99  # of the running statistics, as of the codebooks'
_EPSILON = 1e-6


class Standardizer(nn.Module):
    """Each channel at mean 0 and deviation 1, by running statistics over the valid steps.

    The specific features of a trained layer vary little from step to step (on the embedded digits, the mean
    over the grid twenty times less than the features it is made of), and encoders that are given them as they
    are hardly tell them apart. Gradients pass as if nothing stood here: multiplied by the same large factor,
    they drown those of the layer before.

    Buffers: `mean` `[C]`, `variance` `[C]`, and `updates`, how many there have been; before the first one,
    features pass as they are.

    Args:
        channels: Width C of the features.
    """

    mean: Tensor
    variance: Tensor
    updates: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("updates", torch.tensor(0))

    def forward(self, x: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time channels"]:
        """Standardized features; changes nothing."""
        constant = x.detach()
        scaled = (constant - self.mean) * (self.variance + _EPSILON).rsqrt()
        return x + (scaled.to(x.dtype) - constant)

    @torch.no_grad()
    def update(self, x: Float[Tensor, "batch time channels"], mask: Bool[Tensor, "batch time"]) -> None:
        """Follow a batch, in training only; under torch.distributed on every rank.

        The statistics are the average over the first updates, and a moving one from then on.
        """
        if not self.training:
            return
        # around the running mean, so that a small deviation is no difference of large squares
        shifted = torch.where(mask.unsqueeze(-1), x.to(self.mean.dtype) - self.mean, 0)
        count, total, squares = sum_over_ranks(
            mask.sum().to(shifted.dtype), shifted.sum((0, 1)), shifted.square().sum((0, 1))
        )
        shift = total / count.clamp(min=1)
        variance = squares / count.clamp(min=1) - shift.square()
        self.updates += count > 0
        weight = (1 / self.updates.clamp(min=1)).clamp(min=1 - _DECAY) * (count > 0)
        self.mean += weight * shift
        self.variance += weight * (variance.clamp(min=0) - self.variance)
