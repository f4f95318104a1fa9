"""From a grid of features to one vector a step."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.layers.conv import valid_padding
from unicode_cmg.layers.taps import GridConv


class ChannelGate(nn.Module):
    """Squeeze-and-excitation: a gate in (0, 1) for each channel from the mean over the grid.

    Args:
        channels: Channels of the grid.
        hidden: Width of the bottleneck.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(
        self, x: Float[Tensor, "*batch height width channels"]
    ) -> Float[Tensor, "*batch 1 1 channels"]:
        """The gates, ready to multiply the grid."""
        return torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean(dim=(-3, -2), keepdim=True)))))


class GatedSum(nn.Module):
    """The video pooling of the released code: the plain sum over positions of `x * (1 + gate)`.

    The paper describes spatial attention, but the released softmax runs over an axis of length one, so every
    position weighs 1 and where something is in the picture is lost.

    Args:
        channels: Channels of the grid, and of the result.
        hidden: Bottleneck of the channel gate; the default is the released ratio.
    """

    def __init__(self, channels: int, *, hidden: int | None = None) -> None:
        super().__init__()
        self.gate = ChannelGate(channels, hidden or max(1, channels // 8))
        self.out_dim = channels

    def forward(self, x: Float[Tensor, "*batch height width channels"]) -> Float[Tensor, "*batch channels"]:
        """Sum the gated grid over its positions."""
        gated: Tensor = x * (1 + self.gate(x))
        return gated.sum(dim=(-3, -2))


class SpatialAttention(nn.Module):
    """The spatial attention of the DCID paper as it was meant: a softmax over the positions of each frame.

    Positions are compared with the mean of the frame; the result is the weighted mean of the gated grid. It
    knows what stands out in a frame, not where it stands.

    Args:
        channels: Channels of the grid, and of the result.
        hidden: Width of the comparison; the default is half the channels.
    """

    def __init__(self, channels: int, *, hidden: int | None = None) -> None:
        super().__init__()
        width = hidden or max(1, channels // 2)
        self.gate = ChannelGate(channels, max(1, channels // 8))
        self.of_mean = nn.Linear(channels, width)
        self.of_position = nn.Linear(channels, width)
        self.score = nn.Linear(width, 1)
        self.out_dim = channels

    def forward(self, x: Float[Tensor, "*batch height width channels"]) -> Float[Tensor, "*batch channels"]:
        """Attend over the positions of the gated grid."""
        x = (x * (1 + self.gate(x))).flatten(-3, -2)
        mean = F.relu(self.of_mean(x.mean(dim=-2, keepdim=True)))
        weights: Tensor = self.score(torch.tanh(F.relu(self.of_position(x)) * mean)).softmax(dim=-2)
        return (weights * x).sum(dim=-2)


class ConvPooling(nn.Module):
    """Pooling that keeps the layout: two small convolutions, then a linear map of the flattened grid.

    Args:
        channels: Channels of the grid.
        grid: Height and width of the grid; fixed, as every position has its own weights.
        hidden: Channels of the convolutions.
        out_dim: Channels of the result.
    """

    def __init__(self, channels: int, grid: tuple[int, int], *, hidden: int, out_dim: int) -> None:
        super().__init__()
        padding, (height, width) = valid_padding(grid)
        self.conv1 = GridConv(channels, hidden, padding=padding)
        self.conv2 = GridConv(hidden, hidden, padding=padding)
        self.project = nn.Linear(hidden * height * width, out_dim)
        self.out_dim = out_dim

    def forward(
        self, x: Float[Tensor, "batch time height width channels"]
    ) -> Float[Tensor, "batch time dim"]:
        """Look at the grid of each step on its own."""
        frames = F.relu(self.conv2(F.relu(self.conv1(x.flatten(0, 1)))))
        pooled: Tensor = self.project(frames.movedim(-1, 1).flatten(1))
        return pooled.reshape(*x.shape[:2], self.out_dim)
