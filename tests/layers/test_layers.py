"""Layers do what their docstrings say: shapes, masks, and what each pooling can and cannot see."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unicode_cmg.layers import (
    ContextLSTM,
    ConvPooling,
    GatedSum,
    GridDecoder,
    GridEncoder,
    ResidualBlock,
    SpatialAttention,
    TemporalTransformer,
)


def moved(grid: torch.Tensor) -> torch.Tensor:
    """The same contents at other positions."""
    return grid.flip(-3)


@pytest.mark.parametrize("pool", [GatedSum(6), SpatialAttention(6)])
def test_order_free_poolings_cannot_see_where_things_are(pool: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 5, 6)
    torch.testing.assert_close(pool(x), pool(moved(x)))


def test_conv_pooling_sees_where_things_are() -> None:
    torch.manual_seed(0)
    pool = ConvPooling(6, (5, 5), hidden=8, out_dim=4)
    x = torch.randn(2, 3, 5, 5, 6)
    assert pool(x).shape == (2, 3, 4)
    assert not torch.allclose(pool(x), pool(moved(x)), atol=1e-3)


def test_gated_sum_is_the_sum_over_positions_of_one_plus_the_gate() -> None:
    torch.manual_seed(0)
    pool = GatedSum(8)
    x = torch.randn(1, 1, 2, 3, 8)
    mean = sum(x[0, 0, i, j] for i in range(2) for j in range(3)) / 6
    gate = torch.sigmoid(pool.gate.excite.weight @ (pool.gate.squeeze.weight @ mean).clamp(min=0))
    by_hand = sum(x[0, 0, i, j] * (1 + gate) for i in range(2) for j in range(3))
    torch.testing.assert_close(pool(x)[0, 0], by_hand)


def test_spatial_attention_is_a_weighted_mean_of_the_gated_positions() -> None:
    torch.manual_seed(0)
    pool = SpatialAttention(8)
    constant = torch.randn(8).expand(1, 1, 3, 3, 8)
    gated = constant * (1 + pool.gate(constant))
    torch.testing.assert_close(pool(constant)[0, 0], gated[0, 0, 0, 0])
    x = torch.randn(1, 1, 3, 3, 8)
    positions = (x * (1 + pool.gate(x))).view(9, 8)
    mean = pool.of_mean(sum(positions) / 9).relu()
    scores = torch.stack([pool.score(torch.tanh(pool.of_position(p).relu() * mean)) for p in positions])
    by_hand = sum(w * p for w, p in zip(scores.exp() / scores.exp().sum(), positions, strict=True))
    torch.testing.assert_close(pool(x)[0, 0], by_hand)


@pytest.mark.parametrize("relu_skip", [True, False])
def test_residual_skip_carries_the_input_or_its_relu(relu_skip: bool) -> None:
    block = ResidualBlock(2, relu_skip=relu_skip)
    for conv in (block.conv1, block.conv2):
        nn.init.zeros_(conv.weight)
    nn.init.eye_(block.conv2.weight[:, :, 0, 0])
    nn.init.dirac_(block.conv1.weight)
    x = torch.tensor([[[[-3.0, 2.0]]]])
    # f(relu(x)) = relu(x) = (0, 2); the skip is x = (-3, 2) or relu(x) = (0, 2); the result passes a ReLU.
    torch.testing.assert_close(block(x).flatten(), torch.tensor([0.0, 4.0]))
    block.conv2.weight.data[:] = 0
    block.conv2.weight.data[0, 1] = 2.0  # channel 0 receives 2 * relu(x)[1] = 4
    first = 4.0 if relu_skip else 1.0
    torch.testing.assert_close(block(x).flatten(), torch.tensor([first, 2.0]))


@pytest.mark.slow
@given(height=st.integers(1, 9), width=st.integers(1, 9), steps=st.integers(1, 3))
def test_grid_decoder_restores_the_grid_that_the_encoder_shrank(height: int, width: int, steps: int) -> None:
    encoder = GridEncoder(3, 8, (height, width), relu_skip=False)
    decoder = GridDecoder(8, 4, 3, (height, width), relu_skip=False)
    x = torch.randn(2, steps, height, width, 3)
    hidden = encoder(x)
    assert hidden.shape == (2, steps, *encoder.out_grid, 8)
    assert decoder(hidden).shape == x.shape


def test_published_grid_shrinks_from_seven_to_three() -> None:
    assert GridEncoder(4, 8, (7, 7), relu_skip=True).out_grid == (3, 3)


@pytest.mark.slow
@given(valid=st.lists(st.booleans(), min_size=6, max_size=6).filter(any))
def test_padding_changes_nothing_in_the_transformer(valid: list[bool]) -> None:
    torch.manual_seed(0)
    model = TemporalTransformer(5, 8, heads=2, layers=2, feedforward=16, dropout=0.0).eval()
    x, mask = torch.randn(2, 6, 5), torch.tensor(valid)
    padded = model(x, mask.expand(2, 6))[:, mask]
    torch.testing.assert_close(padded, model(x[:, mask]), atol=1e-5, rtol=1e-4)


def test_a_clip_without_valid_steps_gives_finite_features() -> None:
    model = TemporalTransformer(5, 8, heads=2, layers=1, feedforward=16, dropout=0.0)
    out = model(torch.randn(2, 4, 5), torch.zeros(2, 4, dtype=torch.bool))
    assert out.isfinite().all()


@given(valid=st.integers(1, 5), hole=st.integers(0, 4))
def test_padding_changes_nothing_in_the_context_lstm(valid: int, hole: int) -> None:
    torch.manual_seed(0)
    model = ContextLSTM(3, 8)
    x = torch.randn(2, 5, 3)
    mask = (torch.arange(5) < valid).repeat(2, 1)
    mask[:, min(hole, valid - 1)] = (
        valid <= hole + 1
    )  # a hole before the last valid step is read all the same
    out = model(x, mask)
    torch.testing.assert_close(out[:, :valid], model(x[:, :valid]), atol=1e-6, rtol=1e-5)
    assert (out[:, valid:] == 0).all()


def test_the_context_lstm_reads_what_a_packed_one_reads() -> None:
    torch.manual_seed(0)
    model = ContextLSTM(3, 8).double()
    lengths = torch.tensor([5, 2, 1, 4])
    mask = torch.arange(5) < lengths.unsqueeze(1)
    x = torch.where(mask.unsqueeze(-1), torch.randn(4, 5, 3).double(), 0).requires_grad_()
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(model.lstm(packed)[0], batch_first=True, total_length=5)
    result = model(x, mask)
    torch.testing.assert_close(result, expected)
    arguments, direction = [x, *model.parameters()], torch.randn_like(result)
    torch.testing.assert_close(
        torch.autograd.grad(result, arguments, direction),
        torch.autograd.grad(expected, arguments, direction),
    )
