"""Wide convolutions are sums of matrix products that equal the convolutions of the library."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unicode_cmg.layers import taps
from unicode_cmg.layers.taps import GridConv, GridConvTranspose


@pytest.fixture(autouse=True, scope="module")
def _every_kernel_is_wide() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taps, "_WIDE", 1)
        yield


def library(conv: GridConv | GridConvTranspose, x: torch.Tensor) -> torch.Tensor:
    """What torch makes of the same input and kernel."""
    plain = nn.Conv2d if isinstance(conv, GridConv) else nn.ConvTranspose2d
    return plain.forward(conv, x.movedim(-1, 1)).movedim(1, -1)


@given(
    transposed=st.booleans(),
    kernel=st.sampled_from([1, 3]),
    padding=st.integers(0, 1),
    height=st.integers(3, 6),
    width=st.integers(3, 6),
    frames=st.integers(1, 3),
)
def test_products_and_their_gradients_equal_the_librarys(
    transposed: bool, kernel: int, padding: int, height: int, width: int, frames: int
) -> None:
    padding = padding if kernel == 3 else 0
    conv = (GridConvTranspose if transposed else GridConv)(4, 6, kernel, padding=padding).double()
    assert conv.wide
    x = torch.randn(frames, height, width, 4, dtype=torch.float64, requires_grad=True)
    expected = library(conv, x)
    result = conv(x)
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-10)
    direction = torch.randn_like(expected)
    arguments = [x, conv.weight, conv.bias]
    gradients = torch.autograd.grad(result, arguments, direction)
    torch.testing.assert_close(
        gradients, torch.autograd.grad(expected, arguments, direction), rtol=1e-10, atol=1e-10
    )
    assert gradients[1].stride() == conv.weight.stride()


@pytest.mark.parametrize("cls", [GridConv, GridConvTranspose])
def test_a_grid_of_one_position_meets_the_middle_of_a_padded_kernel(
    cls: type[GridConv | GridConvTranspose],
) -> None:
    conv = cls(2, 3, padding=1)
    x = torch.randn(2, 1, 1, 2)
    torch.testing.assert_close(conv(x), library(conv, x))


def test_gradients_of_products_pass_a_check_by_differences() -> None:
    conv = GridConv(2, 3, padding=1, bias=False).double()
    x = torch.randn(2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: taps._products(x, w, 1, transposed=False), (x, conv.weight))


def test_products_add_up_in_float32_inside_autocast() -> None:
    conv, x = GridConv(64, 64), torch.randn(4, 5, 5, 64)
    exact = conv(x)
    with torch.autocast("cpu", torch.bfloat16):
        result = conv(x)
    assert result.dtype == torch.bfloat16
    assert (result - exact).abs().max() < 0.02 * exact.abs().max()
    result.float().square().mean().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.dtype == torch.float32


def test_weights_of_a_plain_convolution_load_and_keep_their_shape() -> None:
    plain, conv = nn.Conv2d(3, 5, 3), GridConv(3, 5)
    conv.load_state_dict(plain.state_dict())
    assert conv.weight.shape == plain.weight.shape
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    x = torch.randn(2, 4, 4, 3)
    torch.testing.assert_close(conv(x), plain(x.movedim(-1, 1)).movedim(1, -1))
