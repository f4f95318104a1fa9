"""CLUB against loops written from its equations."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses import CLUB

SHAPES = pytest.mark.parametrize("shape", [(4, 3), (4,)], ids=["sequences", "vectors"])


@pytest.fixture
def critic() -> CLUB:
    torch.manual_seed(0)
    critic = CLUB(5, 2, 8).double()
    for parameter in critic.parameters():  # the default start is too small for the variances to differ
        parameter.data.mul_(3)
    return critic


def inputs(shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, 5, generator=g, dtype=torch.float64)
    y = torch.randn(*shape, 2, generator=g, dtype=torch.float64)
    mask = torch.rand(shape, generator=g) < 0.7
    mask[0] = True
    return x, y, mask


def log_q(critic: CLUB, x: torch.Tensor, y: torch.Tensor) -> float:
    """log N(y; mu(x), exp(logvar(x))) without its constant, for one step."""
    mu, logvar = critic.p_mu(x), critic.p_logvar(x)
    return sum(
        (-((m - v) ** 2) / math.exp(s) - s).item() / 2 for m, v, s in zip(mu, y, logvar.detach(), strict=True)
    )


def steps(shape: tuple[int, ...], mask: torch.Tensor | None) -> list[tuple[int, ...]]:
    every = torch.cartesian_prod(*[torch.arange(n) for n in shape]).reshape(-1, len(shape)).tolist()
    return [tuple(i) for i in every if mask is None or mask[tuple(i)]]


@SHAPES
@pytest.mark.parametrize("masked", [False, True])
def test_likelihood_is_the_mean_over_valid_steps(critic: CLUB, shape: tuple[int, ...], masked: bool) -> None:
    x, y, mask = inputs(shape)
    where = steps(shape, mask if masked else None)
    expected = sum(log_q(critic, x[i], y[i]) for i in where) / len(where)
    ours = critic.log_likelihood(x, y, mask if masked else None)
    assert ours.item() == pytest.approx(expected, rel=1e-10)


@SHAPES
@pytest.mark.parametrize("masked", [False, True])
def test_all_negatives_give_the_double_sum_of_the_equation(
    critic: CLUB, shape: tuple[int, ...], masked: bool
) -> None:
    x, y, mask = inputs(shape)
    where = steps(shape, mask if masked else None)
    total = 0.0
    for clip, *time in where:
        others = [j for j, *t in where if t == time]
        i = (clip, *time)
        total += log_q(critic, x[i], y[i])
        total -= sum(log_q(critic, x[i], y[(j, *time)]) for j in others) / len(others)
    ours = critic.mutual_information(x, y, mask=mask if masked else None, negatives="all")
    assert ours.item() == pytest.approx(total / len(where), rel=1e-9)


@SHAPES
@pytest.mark.parametrize("masked", [False, True])
def test_a_permutation_gives_each_clip_one_negative(
    critic: CLUB, shape: tuple[int, ...], masked: bool
) -> None:
    x, y, mask = inputs(shape)
    permutation = torch.tensor([2, 0, 3, 1])
    there = [clip for clip in range(4) if not masked or mask[clip].any()]
    negative = dict(zip(there, [clip for clip in permutation.tolist() if clip in there], strict=True))
    everywhere = [(i, (negative[i[0]], *i[1:])) for i in steps(shape, None) if i[0] in there]
    where = [(i, j) for i, j in everywhere if not masked or (mask[i] and mask[j])]
    total = sum(log_q(critic, x[i], y[i]) - log_q(critic, x[i], y[j]) for i, j in where)
    ours = critic.mutual_information(x, y, permutation, mask if masked else None)
    assert ours.item() == pytest.approx(total / len(where), rel=1e-9)


def test_released_form_divides_time_averages(critic: CLUB) -> None:
    x, y, _ = inputs((4, 3))
    mask = torch.tensor([[True, True, False]] * 4)
    permutation = torch.tensor([2, 0, 3, 1])
    for negatives, rows in (("permutation", permutation.unsqueeze(1)), ("all", torch.arange(4).expand(4, 4))):
        total = 0.0
        for i in range(4):
            mu, logvar = critic.p_mu(x[i, :2]), critic.p_logvar(x[i, :2])
            positive = ((mu - y[i, :2]) ** 2).mean(0)
            negative = torch.stack([((mu - y[j, :2]) ** 2).mean(0) for j in rows[i]]).mean(0)
            total += ((negative - positive) / logvar.mean(0).exp()).sum().item() / 2
        ours = critic.mutual_information(x, y, permutation, mask, form="released", negatives=negatives)
        assert ours.item() == pytest.approx(total / 4, rel=1e-9)


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("negatives", ["permutation", "all"])
@SHAPES
def test_masks_equal_dropping_the_padded_steps(
    critic: CLUB, shape: tuple[int, ...], negatives: str, form: str
) -> None:
    x, y, _ = inputs(shape)
    axis = len(shape) - 1
    keep, permutation = shape[axis] - 1, torch.tensor([1, 2, 0, 3])
    mask = torch.ones(shape, dtype=torch.bool)
    mask.narrow(axis, keep, 1).fill_(False)
    short_x, short_y = x.narrow(axis, 0, keep), y.narrow(axis, 0, keep)
    options = {"form": form, "negatives": negatives}
    masked = critic.mutual_information(x, y, permutation, mask, **options)
    short = critic.mutual_information(short_x, short_y, permutation[: len(short_x)], **options)
    torch.testing.assert_close(masked, short, rtol=1e-10, atol=0)
    torch.testing.assert_close(
        critic.log_likelihood(x, y, mask), critic.log_likelihood(short_x, short_y), rtol=1e-12, atol=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("negatives", ["permutation", "all"])
@SHAPES
def test_gradients(critic: CLUB, shape: tuple[int, ...], negatives: str, form: str) -> None:
    x, y, mask = inputs(shape)

    def bound(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return critic.mutual_information(
            x, y, torch.tensor([1, 2, 3, 0]), mask, form=form, negatives=negatives
        )

    assert torch.autograd.gradcheck(bound, (x.requires_grad_(), y.requires_grad_()))
    assert torch.autograd.gradcheck(lambda x, y: critic.log_likelihood(x, y, mask), (x, y))


def test_a_permutation_that_moves_nothing_finds_no_information(critic: CLUB) -> None:
    x, y, _ = inputs((4, 3))
    assert critic.mutual_information(x, y, torch.arange(4)).item() == 0


@pytest.mark.slow
def test_a_trained_critic_finds_information_only_where_there_is_some() -> None:
    torch.manual_seed(0)
    x, fresh = torch.randn(512, 5).chunk(2)
    bounds = []
    for y, fresh_y in ((x[:, :2], fresh[:, :2]), torch.randn(512, 2).chunk(2)):
        critic = CLUB(5, 2, 32)
        optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
        for _ in range(100):
            optimizer.zero_grad()
            (-critic.log_likelihood(x, y)).backward()
            optimizer.step()
        bounds.append(critic.mutual_information(fresh, fresh_y, negatives="all").item())
    assert bounds[0] > 1.5
    assert bounds[1] < 0.5


def test_drawn_permutations_repeat_under_the_same_generator(critic: CLUB) -> None:
    x, y, _ = inputs((4, 3))
    draws = [
        critic.mutual_information(x, y, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_half_precision_is_summed_in_float32(critic: CLUB) -> None:
    x, y, _ = inputs((4, 3))
    critic = critic.float()
    with torch.autocast("cpu", torch.bfloat16):
        bound = critic.mutual_information(x.float(), y.bfloat16(), torch.tensor([1, 2, 3, 0]))
    assert bound.dtype == torch.float32


def test_bad_arguments_are_refused(critic: CLUB) -> None:
    x, y, _ = inputs((4, 3))
    with pytest.raises(InputError, match="hidden is 1"):
        CLUB(2, 2, 1)
    unchecked = inspect.unwrap(CLUB.mutual_information)
    with pytest.raises(InputError, match="form is 'mean'"):
        unchecked(critic, x, y, form="mean")
    with pytest.raises(InputError, match="negatives is 'some'"):
        unchecked(critic, x, y, negatives="some")


def scale_free(x_dim: int = 4, y_dim: int = 3) -> CLUB:
    torch.manual_seed(0)
    return CLUB(x_dim, y_dim, 8, scale_free=True).double()


def related(clips: int = 12, steps: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(clips, steps, 4, generator=g, dtype=torch.float64)
    y = x[..., :3] + 0.5 * torch.randn(clips, steps, 3, generator=g, dtype=torch.float64)
    return x, y, torch.rand(clips, steps, generator=g) < 0.8


def trained(critic: CLUB, x: Tensor, y: Tensor, mask: Tensor | None = None, steps: int = 300) -> CLUB:
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        (-critic.log_likelihood(x, y, mask)).backward()
        optimizer.step()
    return critic


def test_a_scale_free_bound_is_that_of_standardized_inputs_per_channel() -> None:
    critic, (x, y, mask) = scale_free(), related()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))

    def standardized(values: Tensor) -> Tensor:
        rows = values[mask]
        return (values - rows.mean(0)) / rows.std(0, correction=0)

    a, b = standardized(x), standardized(y)
    mu, logvar = critic.p_mu(a), 3 * critic.p_logvar(a) - 2
    total = [
        (((mu[i, t] - b[order[i], t]) ** 2 - (mu[i, t] - b[i, t]) ** 2) / (2 * logvar[i, t].exp())).sum()
        for i in range(12)
        for t in range(5)
        if mask[i, t] and mask[order[i], t]
    ]
    expected = (torch.stack(total).mean() / 3).clamp(min=0)
    torch.testing.assert_close(critic.mutual_information(x, y, order, mask), expected)


def test_neither_scales_nor_offsets_nor_the_width_change_a_scale_free_bound() -> None:
    x, y, mask = related()
    critic = trained(scale_free(), x, y, mask)
    order = torch.roll(torch.arange(12), 1)
    bound = critic.mutual_information(x, y, order, mask)
    assert bound > 0.1
    scaled = critic.mutual_information(1e3 * x - 7, 1e-3 * y + 5, order, mask)
    torch.testing.assert_close(scaled, bound, rtol=1e-3, atol=0)
    plain = trained(CLUB(4, 3, 8).double(), x, y, mask)
    assert plain.mutual_information(x, 1e-3 * y, order, mask) < 0.01  # which a shrinking encoder escapes


def test_an_encoder_cannot_escape_a_scale_free_bound_by_shrinking() -> None:
    x, y, mask = related()
    critic = trained(scale_free(), x, y, mask)
    scale = torch.ones(3, dtype=torch.float64, requires_grad=True)
    critic.mutual_information(x, y * scale, torch.roll(torch.arange(12), 1), mask).backward()
    assert scale.grad is not None
    torch.testing.assert_close(scale.grad, torch.zeros(3, dtype=torch.float64), atol=1e-8, rtol=0)


def test_a_scale_free_bound_is_never_below_zero() -> None:
    critic = scale_free()
    for seed in range(20):
        x, y, mask = related(seed=seed)
        assert critic.mutual_information(x, -y, torch.randperm(12), mask) >= 0
