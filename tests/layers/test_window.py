"""Encoders whose steps see their neighbours alone."""

from __future__ import annotations

import pytest
import torch

from unicode_cmg.layers import TemporalTransformer


def encoder(window: int | None, layers: int = 1) -> TemporalTransformer:
    torch.manual_seed(0)
    made = TemporalTransformer(3, 8, heads=2, layers=layers, feedforward=16, dropout=0.0, window=window)
    return made.double().eval()


@pytest.mark.parametrize(("window", "layers", "reach"), [(0, 2, 0), (1, 1, 1), (1, 2, 2), (2, 1, 2)])
@pytest.mark.parametrize("masked", [False, True])
def test_a_step_depends_on_the_steps_within_its_window(
    window: int, layers: int, reach: int, masked: bool
) -> None:
    model = encoder(window, layers)
    x = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 8, dtype=torch.bool) if masked else None
    for step in range(8):
        (gradient,) = torch.autograd.grad(model(x, mask)[0, step].square().sum(), x)
        seen = gradient[0].abs().sum(-1) > 0
        assert seen.tolist() == [abs(step - other) <= reach for other in range(8)]
        assert not gradient[1].any()


def test_a_step_that_is_not_valid_is_seen_by_no_other_and_brings_no_nan() -> None:
    model = encoder(1)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[0, 3], mask[1] = False, False
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    other = x.clone()
    other[~mask] = 100.0
    first, second = model(x, mask), model(other, mask)
    assert first.isfinite().all()
    assert second.isfinite().all()
    torch.testing.assert_close(first[mask], second[mask])


def test_a_window_as_wide_as_the_clip_is_no_window() -> None:
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]])
    torch.testing.assert_close(encoder(4)(x, mask)[mask], encoder(None)(x, mask)[mask])
