"""Transport distances against sorting by hand, scipy's assignment, loops and POT."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses import entropic_distances, exact_distances, random_directions, sliced_distances

DIM = 3
ENTROPY = 3.0  # large against the costs of these tokens, so that few iterations do
Distances = Callable[[Tensor, Tensor | None, Tensor, Tensor | None], Tensor]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def directions(count: int = 7, dim: int = DIM, seed: int = 5) -> Tensor:
    return random_directions(count, dim, generator=torch.Generator().manual_seed(seed))


def sliced(x: Tensor, x_mask: Tensor | None, y: Tensor, y_mask: Tensor | None) -> Tensor:
    return sliced_distances(x, x_mask, y, y_mask, directions=directions(dim=x.shape[2]))


def entropic(x: Tensor, x_mask: Tensor | None, y: Tensor, y_mask: Tensor | None) -> Tensor:
    return entropic_distances(x, x_mask, y, y_mask, entropy=ENTROPY, tolerance=1e-11)


every_distance = pytest.mark.parametrize("distances", [sliced, exact_distances, entropic])


def masked() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two batches whose samples have between one and all of their tokens, in any places."""
    x_mask = torch.tensor([[True, True, True, True], [False, True, False, True], [True, False, False, False]])
    y_mask = torch.tensor([[False, True, True], [True, True, True]])
    return normal(3, 4, DIM), x_mask, normal(2, 3, DIM, seed=1), y_mask


def replicated(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The same two distributions with equally many tokens."""
    common = math.lcm(len(x), len(y))
    return x.repeat_interleave(common // len(x), 0), y.repeat_interleave(common // len(y), 0)


@every_distance
def test_every_sample_meets_every_other(distances: Distances) -> None:
    x, x_mask, y, y_mask = masked()
    ours = distances(x, x_mask, y, y_mask)
    assert ours.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            alone = distances(x[i, x_mask[i]][None], None, y[j, y_mask[j]][None], None)
            assert ours[i, j].item() == pytest.approx(alone.item(), rel=1e-6)


def test_sliced_is_sorting_along_each_direction() -> None:
    x, x_mask, y, y_mask = masked()
    ours = sliced(x, x_mask, y, y_mask)
    for i in range(3):
        for j in range(2):
            a, b = replicated(x[i, x_mask[i]], y[j, y_mask[j]])
            total = 0.0
            for direction in directions().double():
                p, q = sorted((a @ direction).tolist()), sorted((b @ direction).tolist())
                total += sum((s - t) ** 2 for s, t in zip(p, q, strict=True)) / len(p)
            assert ours[i, j].item() == pytest.approx(DIM * total / 7, rel=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))
def test_sliced_is_that_of_pot_times_the_width(seed: int, n: int, m: int, dim: int) -> None:
    x, y, along = normal(n, dim, seed=seed), normal(m, dim, seed=seed + 1), directions(4, dim).double()
    theirs = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=along.T.numpy())
    ours = sliced_distances(x[None], None, y[None], None, directions=along)
    assert ours.item() == pytest.approx(dim * theirs**2, rel=1e-9, abs=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_sliced_is_exact_for_any_numbers_of_tokens_in_one_batch(seed: int, counts: list[int]) -> None:
    x = normal(len(counts), 40, 1, seed=seed)
    mask = torch.arange(40) < torch.tensor(counts).unsqueeze(1)
    ours = sliced_distances(x, mask, x.flip(0), mask.flip(0), directions=torch.ones(1, 1))
    for i, n in enumerate(counts):
        for j, m in enumerate(reversed(counts)):
            theirs = ot.wasserstein_1d(x[i, :n, 0].numpy(), x.flip(0)[j, :m, 0].numpy(), p=2)
            assert ours[i, j].item() == pytest.approx(float(theirs), rel=1e-9, abs=1e-9)


def test_on_a_line_sliced_is_exact() -> None:
    x, x_mask, y, y_mask = masked()
    x, y = x[..., :1], y[..., :1]
    torch.testing.assert_close(sliced(x, x_mask, y, y_mask), exact_distances(x, x_mask, y, y_mask))


def test_exact_is_the_best_assignment_of_replicated_tokens() -> None:
    x, x_mask, y, y_mask = masked()
    ours = exact_distances(x, x_mask, y, y_mask)
    for i in range(3):
        for j in range(2):
            a, b = replicated(x[i, x_mask[i]], y[j, y_mask[j]])
            costs = (a.unsqueeze(1) - b).square().sum(-1).numpy()
            rows, columns = linear_sum_assignment(costs)
            assert ours[i, j].item() == pytest.approx(costs[rows, columns].mean(), rel=1e-9)


def test_entropic_is_the_divergence_of_a_plain_sinkhorn_loop() -> None:
    def regularised(x: np.ndarray, y: np.ndarray) -> float:
        costs = ((x[:, None] - y) ** 2).sum(-1)
        kernel, v = np.exp(-costs / ENTROPY), np.ones(len(y))
        for _ in range(500):
            u = 1 / len(x) / (kernel @ v)
            v = 1 / len(y) / (kernel.T @ u)
        plan = u[:, None] * kernel * v
        return float((plan * costs).sum() + ENTROPY * (plan * np.log(plan)).sum())

    x, x_mask, y, y_mask = masked()
    ours = entropic(x, x_mask, y, y_mask)
    for i in range(3):
        for j in range(2):
            a, b = x[i, x_mask[i]].numpy(), y[j, y_mask[j]].numpy()
            expected = regularised(a, b) - regularised(a, a) / 2 - regularised(b, b) / 2
            assert ours[i, j].item() == pytest.approx(expected, rel=1e-6)


def test_entropic_tends_to_exact() -> None:
    x, x_mask, y, y_mask = masked()
    exact = exact_distances(x, x_mask, y, y_mask)
    gaps = [
        (entropic_distances(x, x_mask, y, y_mask, entropy=entropy, iterations=1000) - exact)
        .abs()
        .max()
        .item()
        for entropy in (8.0, 2.0, 0.2)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.05 * exact.max().item()


@pytest.mark.parametrize("distances", [exact_distances, entropic])
def test_single_tokens_are_as_far_apart_as_squared_lengths_say(distances: Distances) -> None:
    x, y = normal(3, 1, DIM), normal(2, 1, DIM, seed=1)
    expected = (x - y.squeeze(1)).square().sum(-1)
    torch.testing.assert_close(distances(x, None, y, None), expected)


def test_sliced_has_the_scale_of_exact_whatever_the_width() -> None:
    for dim in (2, 16, 128):
        along = directions(4000, dim)
        x, y = normal(1, 1, dim), normal(1, 1, dim, seed=1)
        single = sliced_distances(x, None, y, None, directions=along).item()
        assert single == pytest.approx((x - y).square().sum().item(), rel=0.1)
        x, y = normal(1, 6, dim), normal(1, 5, dim, seed=1)
        several = sliced_distances(x, None, y, None, directions=along).item()
        assert several < exact_distances(x, None, y, None).item()


@every_distance
def test_only_equal_distributions_are_at_distance_0(distances: Distances) -> None:
    x = normal(3, 4, DIM)
    own = distances(x, None, x, None)
    assert own.diagonal().abs().max() < 1e-9
    assert own[~torch.eye(3, dtype=torch.bool)].min() > 1e-2
    doubled = distances(x, None, torch.cat([x, x], dim=1), None)
    assert doubled.diagonal().abs().max() < 1e-9
    moved = x.clone()
    moved[:, 0] += 0.1
    assert distances(x, None, moved, None).diagonal().min() > 1e-4


@every_distance
def test_distances_are_symmetric(distances: Distances) -> None:
    x, x_mask, y, y_mask = masked()
    torch.testing.assert_close(distances(x, x_mask, y, y_mask), distances(y, y_mask, x, x_mask).T)


@every_distance
def test_the_order_of_tokens_does_not_matter(distances: Distances) -> None:
    x, x_mask, y, y_mask = masked()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        distances(x[:, order], x_mask[:, order], y, y_mask), distances(x, x_mask, y, y_mask)
    )


@every_distance
def test_padding_has_no_influence_whatever_it_holds(distances: Distances) -> None:
    x, x_mask, y, y_mask = masked()
    expected = distances(x, x_mask, y, y_mask)
    x = x.masked_fill(~x_mask.unsqueeze(2), torch.nan).requires_grad_()
    y = y.masked_fill(~y_mask.unsqueeze(2), torch.inf).requires_grad_()
    ours = distances(x, x_mask, y, y_mask)
    torch.testing.assert_close(ours, expected)
    ours.sum().backward()
    for tokens, mask in ((x, x_mask), (y, y_mask)):
        assert tokens.grad is not None
        assert tokens.grad[~mask].eq(0).all()
        assert tokens.grad[mask].ne(0).all()


@every_distance
def test_a_sample_without_tokens_is_at_0_and_gets_no_gradient(distances: Distances) -> None:
    x, x_mask, y, y_mask = masked()
    x_mask[1] = False
    x.requires_grad_()
    ours = distances(x, x_mask, y, y_mask)
    assert ours[1].eq(0).all()
    assert ours[[0, 2]].gt(0).all()
    ours.sum().backward()
    assert x.grad is not None
    assert x.grad[1].eq(0).all()


@pytest.mark.slow
@every_distance
def test_gradients(distances: Distances) -> None:
    x, x_mask, y, y_mask = (part[:2] for part in masked())

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return distances(x, x_mask, y, y_mask)

    assert torch.autograd.gradcheck(loss, (x.requires_grad_(), y.requires_grad_()), atol=1e-6)


@every_distance
def test_equal_samples_have_finite_gradients(distances: Distances) -> None:
    x = normal(2, 3, DIM).requires_grad_()
    distances(x, None, x.detach(), None).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("distances", [sliced, exact_distances])
def test_rounding_makes_no_distance_negative(distances: Distances) -> None:
    x = (5 + normal(30, 4, DIM)).float()
    assert distances(x, None, x, None).min() >= 0


@every_distance
def test_low_precision_is_raised_to_float32(distances: Distances) -> None:
    x, y = normal(2, 3, DIM).bfloat16(), normal(2, 4, DIM, seed=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = distances(x, None, y, None)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, distances(x.double(), None, y.double(), None).float())


@every_distance
def test_a_run_that_diverged_gets_distances_that_are_not_numbers(distances: Distances) -> None:
    x = torch.full((1, 2, DIM), torch.nan)
    assert distances(x, None, torch.ones(1, 2, DIM), None).isnan().all()


def test_directions_are_unit_vectors_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    drawn = directions(500, 4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(drawn.square().sum(1), torch.ones(500))
    torch.testing.assert_close(drawn.T @ drawn / 500, torch.eye(4) / 4, atol=0.05, rtol=0)
    assert torch.equal(drawn, directions(500, 4))
    assert not torch.equal(drawn, directions(500, 4, seed=6))
    with pytest.raises(InputError, match="count is 0"):
        directions(0)


def test_entropy_must_be_positive() -> None:
    with pytest.raises(InputError, match="entropy is 0"):
        entropic_distances(normal(1, 1, 1), None, normal(1, 1, 1), None, entropy=0.0)


@pytest.mark.parametrize("distances", [exact_distances, entropic])
def test_without_pot_the_command_that_installs_it_is_named(
    distances: Distances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(InputError, match=r"pip install 'unicode-cmg\[transport\]'"):
        distances(normal(1, 1, 1), None, normal(1, 1, 1), None)
    assert sliced(normal(1, 1, 1), None, normal(1, 1, 1), None).isfinite().all()


def test_entropic_says_when_it_has_not_converged() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (30 * torch.randn(3, 6, 4, generator=generator) for _ in range(2))
    with pytest.warns(UserWarning, match=r"not converged after 20 iterations.*the entropy 0\.1 is small"):
        entropic_distances(x, None, y, None, iterations=20)
    entropic_distances(x, None, y, None, entropy=float((x - y).square().sum(-1).mean()) / 10)  # no warning
