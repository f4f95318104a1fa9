"""3x3 convolutions of features on a grid, channels last: the library's, or a matrix product for each tap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_WIDE = 256 * 512
"""From so many pairs of channels on, products are faster than the library on a CPU.

Measured on one core of an AMD EPYC (AVX-512) with oneDNN 3.12 and MKL 2024.2, float32, forward and backward:
at 80 frames of 7x7, 256 -> 512 channels take 0.38 s by products and 0.36 s by the library, 512 -> 1024
channels 1.3 and 1.7 s; 1024 -> 2048 on 5x5 1.7 and 4.9 s, and 2048 -> 2048 on 3x3 2.9 and 9.2 s. With
128 -> 128 channels and 800 frames products take 1.8 times as long as the library.
"""


class GridConv(nn.Conv2d):
    """A convolution with a square kernel over the grid of each frame, channels last.

    On a CPU a wide kernel is a sum of matrix products, one for each of its taps: `y[p] = sum_d x[p + d] W_d`.
    The library reorders such a kernel three times in a step, which costs more than the products on a grid of
    a few positions; and a product leaves out what lies outside of the grid, 40 % of a 3x3 grid with padding.
    The kernel is stored channels last, so that each `W_d` is a view; its shape is that of `nn.Conv2d`.

    Args:
        in_channels: Channels of the features.
        out_channels: Channels of the result.
        kernel: Height and width of the kernel.
        padding: Zeros around the grid.
        bias: Whether to add a bias.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, *, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=padding, bias=bias)
        self.wide = _stored_by_taps(self)

    def forward(
        self, x: Float[Tensor, "frames height width channels"]
    ) -> Float[Tensor, "frames h w channels_out"]:
        """Convolve each frame."""
        if not self.wide or x.device.type != "cpu":
            return super().forward(x.movedim(-1, 1)).movedim(1, -1)
        y = _products(x, self.weight, int(self.padding[0]), transposed=False)
        return y if self.bias is None else y + self.bias.to(y.dtype)


class GridConvTranspose(nn.ConvTranspose2d):
    """The transposed convolution of `GridConv`, with the same arguments."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, *, padding: int = 0) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=padding)
        self.wide = _stored_by_taps(self)

    def forward(
        self, x: Float[Tensor, "frames height width channels"], output_size: list[int] | None = None
    ) -> Float[Tensor, "frames h w channels_out"]:
        """Convolve each frame."""
        if not self.wide or x.device.type != "cpu":
            return super().forward(x.movedim(-1, 1), output_size).movedim(1, -1)
        y = _products(x, self.weight, int(self.padding[0]), transposed=True)
        return y if self.bias is None else y + self.bias.to(y.dtype)


def _stored_by_taps(conv: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """Whether the kernel is wide enough for products; if so, each of its taps becomes a view."""
    wide = conv.in_channels * conv.out_channels >= _WIDE
    if wide:
        conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
    return wide


def _products(
    x: Float[Tensor, "frames height width channels"],
    weight: Float[Tensor, "_ _ k k"],
    padding: int,
    *,
    transposed: bool,
) -> Float[Tensor, "frames h w channels_out"]:
    """The convolution as products, in the precision of autocast."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
    if weight.shape[-1] == 1:
        matrix = weight.flatten(1)
        return F.linear(x, matrix.t() if transposed else matrix)
    y: Tensor = _Products.apply(x, weight, padding, transposed)  # type: ignore[no-untyped-call]
    return y


class _Products(torch.autograd.Function):
    """`y[p] = sum_d x[p + d] W_d` over the taps, and its gradients, which are such sums too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.transposed = padding, transposed
        change = weight.shape[-1] - 1 - 2 * padding
        height, width = (size + change if transposed else size - change for size in x.shape[1:3])
        y = _zeros(x, height, width, weight.shape[1 if transposed else 0])
        for tap, here, there in _taps(x, y, weight, padding, transposed):
            _add_product(y, there, _rows(x, here), tap)
        return y.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        to_x = _zeros(x, *x.shape[1:]) if ctx.needs_input_grad[0] else None
        to_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        taps = _taps(x, gradient, weight, ctx.padding, ctx.transposed)
        for k, (tap, here, there) in enumerate(taps):
            rows = _rows(gradient, there)
            if to_x is not None:
                _add_product(to_x, here, rows, tap.t())
            if to_weight is not None:
                a, b = _rows(x, here), rows
                out = to_weight.flatten(2)[..., k]
                torch.mm(*((a.t(), b) if ctx.transposed else (b.t(), a)), out=out)
        return None if to_x is None else to_x.to(x.dtype), to_weight, None, None


Place = tuple[slice, slice, slice]
"""Where a tap reads or writes: all frames, rows, columns."""


def _taps(
    x: Tensor, y: Tensor, weight: Tensor, padding: int, transposed: bool
) -> Iterator[tuple[Tensor, Place, Place]]:
    """`[in, out]` the matrix of each tap that meets the grid, and what part of x and of y it joins."""
    size = weight.shape[-1]
    for i in range(size):
        for j in range(size):
            matrix = weight[:, :, i, j]
            rows, columns = (
                _overlap(n, m, padding - k if transposed else k - padding)
                for n, m, k in zip(x.shape[1:3], y.shape[1:3], (i, j), strict=True)
            )
            everything = slice(None)
            here, there = (everything, rows[0], columns[0]), (everything, rows[1], columns[1])
            yield (matrix if transposed else matrix.t()), here, there


def _overlap(source: int, target: int, shift: int) -> tuple[slice, slice]:
    """Where `target[p]` meets `source[p + shift]`, as a slice of each."""
    first, last = max(0, -shift), max(0, min(target, source - shift))
    first = min(first, last)
    return slice(first + shift, last + shift) if last > first else slice(0, 0), slice(first, last)


def _zeros(like: Tensor, height: int, width: int, channels: int) -> Tensor:
    """Frames of zeros to add to, in float32 or better."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return like.new_zeros(len(like), height, width, channels, dtype=dtype)


def _rows(frames: Tensor, place: Place) -> Tensor:
    """`[n, channels]` the positions of a place."""
    return frames[place].reshape(-1, frames.shape[-1])


def _add_product(total: Tensor, place: Place, rows: Tensor, matrix: Tensor) -> None:
    """`total[place] += rows matrix`, in place."""
    part = total[place]
    if part.shape == total.shape and total.dtype == rows.dtype:
        total.view(-1, total.shape[-1]).addmm_(rows, matrix)
    else:
        part += (rows @ matrix).view(part.shape)
