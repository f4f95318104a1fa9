"""The STRUCTURE loss against loops, by hand, and what it must not notice."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses import jensen_shannon, neighbourhoods, structure_loss


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(width: int) -> Tensor:
    return torch.linalg.qr(normal(width, width, seed=99)).Q


def slow_walks(vectors: Tensor, temperature: float, level: int) -> list[list[float]]:
    """Where walks of `level` hops end, from the definition."""
    units = [x / x.norm() for x in vectors]
    mean = sum(units) / len(units)
    rows = []
    for x in units:
        weights = [math.exp(((x - mean) @ (y - mean)).item() / temperature) for y in units]
        rows.append([w / sum(weights) for w in weights])
    walks = rows
    for _ in range(level - 1):
        walks = [
            [sum(row[k] * rows[k][j] for k in range(len(rows))) for j in range(len(rows))] for row in walks
        ]
    return walks


def slow_loss(features: Tensor, representation: Tensor, levels: int, temperature: float) -> float:
    loss = 0.0
    for level in range(1, levels + 1):
        for p, q in zip(
            slow_walks(features, temperature, level),
            slow_walks(representation, temperature, level),
            strict=True,
        ):
            m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
            for r in (p, q):
                loss += (
                    sum(x * math.log(x / y) for x, y in zip(r, m, strict=True)) / 2 / level / len(features)
                )
    return loss / levels


@pytest.mark.slow
@given(st.integers(1, 6), st.integers(1, 4), st.floats(0.05, 2), st.integers(0, 99))
def test_the_loss_is_the_weighted_mean_of_divergences_over_hops(
    items: int, levels: int, temperature: float, seed: int
) -> None:
    x, z = normal(items, 5, seed=seed), normal(items, 3, seed=seed + 100)
    ours = structure_loss(x, z, levels=levels, temperature=temperature)
    assert ours.item() == pytest.approx(slow_loss(x, z, levels, temperature), rel=1e-9, abs=1e-12)
    mask = torch.rand(items, generator=torch.Generator().manual_seed(seed)) < 0.6
    expected = slow_loss(x[mask], z[mask], levels, temperature) if mask.any() else 0.0
    ours = structure_loss(x, z, levels=levels, temperature=temperature, mask=mask)
    assert ours.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_two_items_by_hand() -> None:
    x, z = torch.eye(2).double(), torch.ones(2, 2).double()
    stay = 1 / (1 + math.exp(-1 / 0.5))  # similarities 1/2 and -1/2 once the mean is gone
    torch.testing.assert_close(
        neighbourhoods(x, 0.5), torch.tensor([[stay, 1 - stay], [1 - stay, stay]]).double()
    )
    torch.testing.assert_close(neighbourhoods(z, 0.5), torch.full((2, 2), 0.5).double())

    def divergence(p: float) -> float:
        return sum(
            0.5 * r * math.log(r / ((r + 0.5) / 2)) + 0.25 * math.log(0.5 / ((r + 0.5) / 2))
            for r in (p, 1 - p)
        )

    twice = stay**2 + (1 - stay) ** 2
    ours = structure_loss(x, z, levels=2, temperature=0.5)
    assert ours.item() == pytest.approx((divergence(stay) + divergence(twice) / 2) / 2)


def test_equal_rows_have_no_divergence_and_disjoint_ones_log_two() -> None:
    p, q = torch.tensor([[1.0, 0.0], [0.25, 0.75]]), torch.tensor([[0.0, 1.0], [0.25, 0.75]])
    torch.testing.assert_close(jensen_shannon(p, q), torch.tensor([math.log(2), 0.0]))


@pytest.mark.slow
@given(st.integers(2, 8), st.integers(1, 4), st.integers(0, 99))
def test_turning_and_scaling_the_input_is_no_change_of_geometry(items: int, levels: int, seed: int) -> None:
    x = normal(items, 4, seed=seed)
    scales = torch.rand(items, 1, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    assert structure_loss(x, x @ rotation(4) * scales, levels=levels).item() == pytest.approx(0, abs=1e-12)
    z = normal(items, 3, seed=seed + 1)
    torch.testing.assert_close(structure_loss(x @ rotation(4), z * scales), structure_loss(x, z))


def test_neighbours_that_change_places_cost_more_than_a_little_noise() -> None:
    x = normal(12, 6)
    near, far = (
        x + 0.1 * normal(12, 6, seed=1),
        x[torch.randperm(12, generator=torch.Generator().manual_seed(0))],
    )
    assert 0 < structure_loss(x, near) < 0.2 * structure_loss(x, far)
    most = math.log(2) * (1 + 1 / 2 + 1 / 3) / 3
    assert structure_loss(x, far, temperature=1e-3) <= most


@pytest.mark.parametrize("mask", [None, torch.tensor([True, False, True, True])])
def test_gradients_into_both_sides(mask: Tensor | None) -> None:
    x, z = normal(4, 3).requires_grad_(), normal(4, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: structure_loss(a, b, temperature=0.5, mask=mask), (x, z))


def test_gradients_are_finite_where_probabilities_vanish() -> None:
    x = normal(6, 4).float()
    for z in (x.clone(), torch.ones(6, 4), normal(6, 4, seed=1).float()):
        z.requires_grad_()
        loss = structure_loss(x, z, temperature=1e-3)
        loss.backward()
        assert loss.isfinite()
        assert z.grad is not None
        assert z.grad.isfinite().all()


def test_padding_has_no_influence_and_gets_no_gradient() -> None:
    mask = torch.tensor([True, True, False, True, False])
    x, z = normal(5, 3), normal(5, 2, seed=1)
    expected = structure_loss(x[mask], z[mask])
    x[~mask] = torch.nan
    z[~mask] = torch.inf
    z.requires_grad_()
    loss = structure_loss(x, z, mask=mask)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert z.grad is not None
    assert z.grad[~mask].eq(0).all()
    assert z.grad[mask].ne(0).any()


def test_one_item_has_no_neighbours_to_lose() -> None:
    assert structure_loss(normal(1, 3), normal(1, 2, seed=1)) == 0
    assert structure_loss(normal(3, 3), normal(3, 2, seed=1), mask=torch.zeros(3, dtype=torch.bool)) == 0


def test_it_is_computed_in_float32_under_autocast() -> None:
    x, z = normal(5, 8).float(), normal(5, 8, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = structure_loss(x, z)
    assert loss == structure_loss(x, z)
    assert structure_loss(x.bfloat16(), z.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"levels": 0}, "levels is 0.*at least 1"), ({"temperature": 0.0}, "temperature is 0.0.*positive")],
)
def test_settings_out_of_range_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        structure_loss(normal(3, 2), normal(3, 2, seed=1), **settings)  # type: ignore[arg-type]
