"""Convolution stacks for features on a spatial grid, and their inverse."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.layers.taps import GridConv, GridConvTranspose


def valid_padding(grid: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Padding of two 3x3 convolutions, and the grid they leave: none from 5x5 on (released: 7x7 -> 3x3)."""
    height, width = grid
    return (0, (height - 4, width - 4)) if min(grid) >= 5 else (1, (height, width))


class ResidualBlock(nn.Module):
    """`relu(skip + f(relu(x)))` with f a 3x3 and a 1x1 convolution without bias.

    Args:
        channels: Channels in, between and out.
        relu_skip: Whether the skip carries `relu(x)` instead of `x`: the released code's first ReLU works in
            place and so changes the skip as well.
    """

    def __init__(self, channels: int, *, relu_skip: bool) -> None:
        super().__init__()
        self.conv1 = GridConv(channels, channels, padding=1, bias=False)
        self.conv2 = GridConv(channels, channels, 1, bias=False)
        self.relu_skip = relu_skip

    def forward(
        self, x: Float[Tensor, "frames height width channels"]
    ) -> Float[Tensor, "frames height width channels"]:
        """Refine a grid of features."""
        active = F.relu(x)
        return F.relu((active if self.relu_skip else x) + self.conv2(F.relu(self.conv1(active))))


class GridEncoder(nn.Module):
    """The specific encoder of a grid: two 3x3 convolutions, a 1x1 convolution and a residual block.

    Args:
        in_dim: Channels of the features.
        out_dim: Channels of the result (released: four times the input).
        grid: Height and width of the input.
        relu_skip: See `ResidualBlock`.
    """

    def __init__(self, in_dim: int, out_dim: int, grid: tuple[int, int], *, relu_skip: bool) -> None:
        super().__init__()
        padding, self.out_grid = valid_padding(grid)
        self.conv1 = GridConv(in_dim, out_dim // 2, padding=padding)
        self.conv2 = GridConv(out_dim // 2, out_dim, padding=padding)
        self.conv3 = GridConv(out_dim, out_dim, 1)
        self.residual = ResidualBlock(out_dim, relu_skip=relu_skip)

    def forward(
        self, x: Float[Tensor, "batch time height width channels"]
    ) -> Float[Tensor, "batch time h w dim"]:
        """Encode the grid of each step on its own, channels last as they came."""
        frames: Tensor = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x.flatten(0, 1))))))
        frames = self.residual(frames)
        return frames.reshape(*x.shape[:2], *frames.shape[1:])


class GridDecoder(nn.Module):
    """The mirror of `GridEncoder`: transposed convolutions back to the grid of the features.

    Args:
        in_dim: Channels of the input.
        hidden: Channels after the first transposed convolution.
        out_dim: Channels of the features to reconstruct.
        grid: Height and width of the features to reconstruct.
        relu_skip: See `ResidualBlock`.
    """

    def __init__(
        self, in_dim: int, hidden: int, out_dim: int, grid: tuple[int, int], *, relu_skip: bool
    ) -> None:
        super().__init__()
        padding, _ = valid_padding(grid)
        self.deconv1 = GridConvTranspose(in_dim, hidden, padding=padding)
        self.residual = ResidualBlock(hidden, relu_skip=relu_skip)
        self.deconv2 = GridConvTranspose(hidden, out_dim, padding=padding)
        self.deconv3 = GridConvTranspose(out_dim, out_dim, 1)

    def forward(
        self, x: Float[Tensor, "batch time h w dim"]
    ) -> Float[Tensor, "batch time height width channels"]:
        """Decode the grid of each step on its own."""
        frames: Tensor = self.residual(self.deconv1(x.flatten(0, 1)))
        frames = self.deconv3(F.relu(self.deconv2(frames)))
        return frames.reshape(*x.shape[:2], *frames.shape[1:])
