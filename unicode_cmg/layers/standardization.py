"""Each channel of the input features at mean 0 and deviation 1, by the statistics of the training data."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unicode_cmg.batch import cleared


class InputStandardization(nn.Module):
    """`(x - mean) / deviation` of each channel, over clips, steps and positions of the training data.

    Features come on many scales: words of a hash at 1, activations of a network behind a ReLU at 0.1 with a
    tail. Encoders, decoders and the weights of loss terms all depend on that scale, so it is taken out once,
    and its statistics are saved with the model. A channel that never varies passes at deviation 1.

    Buffers: `mean` `[C]` and `deviation` `[C]`; before there are any statistics, features pass as they are.

    Args:
        channels: Width C of the features, their last axis.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.begin()

    def forward(
        self, x: Float[Tensor, "batch time ..."], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time ..."]:
        """Standardized features, with zeros where a step is not valid."""
        return cleared((x - self.mean.to(x.dtype)) / self.deviation.to(x.dtype), mask)

    def begin(self) -> None:
        """Forget the statistics; `add` follows once for each batch."""
        self._count, self._squares = 0, torch.zeros_like(self.mean, dtype=torch.float64)
        self._mean = torch.zeros_like(self._squares)

    @torch.no_grad()
    def add(self, x: Float[Tensor, "batch time ..."], mask: Bool[Tensor, "batch time"]) -> None:
        """Take the valid steps of a batch into the statistics (merged as in Chan et al. 1983, in float64)."""
        rows = x[mask].double().reshape(-1, x.shape[-1])
        if not len(rows):
            return
        total = self._count + len(rows)
        center = rows.mean(0)
        shift = center - self._mean
        self._squares += (rows - center).square().sum(0) + shift.square() * (self._count * len(rows) / total)
        self._mean += shift * (len(rows) / total)
        self._count = total
        deviation = (self._squares / total).sqrt()
        varies = deviation > 1e-6 * (deviation.amax() + self._mean.abs())
        self.mean.copy_(self._mean)
        self.deviation.copy_(torch.where(varies, deviation, 1))
