"""Input features at mean 0 and deviation 1 by the statistics of the training data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unicode_cmg.layers import InputStandardization


@pytest.mark.parametrize("grid", [(), (3, 2)])
def test_statistics_are_those_of_all_valid_steps_however_they_are_batched(grid: tuple[int, ...]) -> None:
    g = torch.Generator().manual_seed(0)
    x = 1e3 + torch.randn(23, 6, *grid, 4, generator=g) * torch.tensor([1.0, 10.0, 0.01, 0.0])
    mask = torch.rand(23, 6, generator=g) < 0.6
    x[~mask] = torch.nan
    rows = x[mask].reshape(-1, 4).double().numpy()
    for size in (1, 5, 23):
        layer = InputStandardization(4)
        layer.begin()
        for first in range(0, 23, size):
            layer.add(x[first : first + size], mask[first : first + size])
        np.testing.assert_allclose(layer.mean.numpy(), rows.mean(0), rtol=1e-6)
        np.testing.assert_allclose(layer.deviation.numpy()[:3], rows.std(0)[:3], rtol=1e-4)
        assert layer.deviation[3] == 1  # a constant channel passes at its scale
    scaled = layer(x, mask)
    assert not scaled[~mask].any()
    flat = scaled[mask].reshape(-1, 4)
    torch.testing.assert_close(flat.mean(0), torch.zeros(4), atol=5e-2, rtol=0)
    torch.testing.assert_close(flat[:, :3].std(0, correction=0), torch.ones(3), atol=2e-2, rtol=0)


def test_without_statistics_features_pass_as_they_are() -> None:
    layer, x = InputStandardization(4), torch.randn(2, 3, 4)
    assert torch.equal(layer(x), x)
    layer.add(x, torch.zeros(2, 3, dtype=torch.bool))  # nothing is valid
    assert torch.equal(layer(x), x)
