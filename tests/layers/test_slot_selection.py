"""The choice of slots is SGA paper eqs. 8-9, adapts to each sample, and never leaves one without a slot."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from unicode_cmg.draws import ClipDraws
from unicode_cmg.errors import InputError
from unicode_cmg.layers import SlotSelection


def built(**options: object) -> SlotSelection:
    torch.manual_seed(0)
    return SlotSelection(4, **options).double()  # type: ignore[arg-type]


def slots(batch: int = 3, count: int = 5, seed: int = 1) -> Tensor:
    return torch.randn(batch, count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scores(module: SlotSelection, slot: Tensor) -> Tensor:
    """`h_theta` of eq. 8 for one slot: scores for dropping and for keeping it."""
    x = slot
    if isinstance(module.norm, nn.LayerNorm):
        centred = slot - slot.mean()
        x = centred / (centred.square().mean() + 1e-5).sqrt() * module.norm.weight + module.norm.bias
    x = (module.hidden.weight @ x + module.hidden.bias).clamp(min=0)
    return module.score.weight @ x + module.score.bias


def noise(shape: tuple[int, int], seed: int) -> Tensor:
    """The Gumbel noise of a forward pass: that of dropping in that of keeping, so none and the difference."""
    draws = ClipDraws.of(shape[0], torch.Generator().manual_seed(seed))
    difference = draws.uniform(shape[1]).logit().double()
    return torch.stack([torch.zeros_like(difference), difference])


def constant(module: SlotSelection, logit: float) -> SlotSelection:
    """Make every slot equally probable."""
    with torch.no_grad():
        module.score.weight.zero_()
        module.score.bias.copy_(torch.tensor([0.0, logit]))
    return module


@pytest.mark.parametrize(("temperature", "normalize"), [(0.5, True), (1.0, False)])
def test_decisions_and_probabilities_are_equations_eight_and_nine(
    temperature: float, normalize: bool
) -> None:
    module = built(temperature=temperature, normalize=normalize)
    x, gumbel = slots(), noise((3, 5), seed=1)
    decision = module(x, generator=torch.Generator().manual_seed(1))
    assert (decision.keep.sum(1) > 1).all()  # so that none had to be added
    for b in range(3):
        for k in range(5):
            drop, keep = scores(module, x[b, k])
            probability = keep.exp() / (drop.exp() + keep.exp())
            torch.testing.assert_close(decision.probability[b, k], probability)
            noisy = [(drop + gumbel[0, b, k]) / temperature, (keep + gumbel[1, b, k]) / temperature]
            assert decision.keep[b, k] == float(noisy[1] > noisy[0])


def test_gradient_of_the_decision_is_that_of_the_relaxed_one() -> None:
    module = built(temperature=0.7)
    gumbel = noise((3, 5), seed=1)
    x = slots().requires_grad_()
    weight = slots(seed=2)[..., 0]
    decision = module(x, generator=torch.Generator().manual_seed(1))
    chosen = decision.keep.detach()
    assert (chosen.sum(1) > 1).all()  # so that none had to be added

    def relaxed(x: Tensor) -> Tensor:
        both = torch.stack([torch.stack([scores(module, s) for s in row]) for row in x])
        soft = ((both + gumbel.movedim(0, -1)) / 0.7).softmax(-1)
        return (soft[..., 1] * weight).sum()

    (gradient,) = torch.autograd.grad((decision.keep * weight).sum(), x)
    step = 1e-6
    with torch.no_grad():
        for index in torch.cartesian_prod(torch.arange(3), torch.arange(5), torch.arange(4)).tolist():
            moved = torch.zeros_like(x)
            moved[tuple(index)] = step
            slope = (relaxed(x + moved) - relaxed(x - moved)) / (2 * step)
            torch.testing.assert_close(gradient[tuple(index)], slope, atol=1e-7, rtol=1e-5)


def test_straight_through_gradient_reaches_the_whole_score_network() -> None:
    module = built()
    module(slots(), generator=torch.Generator().manual_seed(0)).keep.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name


def test_probabilities_agree_with_finite_differences() -> None:
    module = built().eval()
    assert torch.autograd.gradcheck(lambda x: module(x).probability, slots().requires_grad_())


def test_a_slot_is_kept_as_often_as_its_probability_says() -> None:
    module = constant(built(), 0.8)
    generator = torch.Generator().manual_seed(0)
    decision = module(torch.zeros(400, 50, 4, dtype=torch.float64), generator=generator)
    torch.testing.assert_close(decision.keep.mean(), decision.probability.mean(), atol=0.01, rtol=0)


def test_evaluation_is_deterministic_and_keeps_what_is_more_probable_than_not() -> None:
    module = built().eval()
    with torch.no_grad():
        module.score.weight.mul_(5)
    x = slots(20)
    first, second = module(x, generator=torch.Generator().manual_seed(0)), module(x)
    assert torch.equal(first.keep, second.keep)
    enough = (first.probability > 0.5).any(1)
    assert enough.any()
    assert torch.equal(first.keep[enough], (first.probability > 0.5).double()[enough])
    assert len(first.keep.sum(1).unique()) > 1, "the number of kept slots differs from sample to sample"


def test_the_draw_follows_its_generator_and_leaves_the_global_one_alone() -> None:
    module, x = built(), slots(50)
    before = torch.get_rng_state()
    first, second, other = (module(x, generator=torch.Generator().manual_seed(s)).keep for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.slow
@given(minimum=st.integers(1, 5), logit=st.floats(-8, 8), training=st.booleans(), seed=st.integers(0, 2**16))
def test_never_fewer_than_the_minimum_are_kept(minimum: int, logit: float, training: bool, seed: int) -> None:
    module = built(minimum=minimum).train(training)
    with torch.no_grad():
        module.score.bias[1] += logit
    keep = module(slots(seed=seed), generator=torch.Generator().manual_seed(seed)).keep
    assert ((keep == 0) | (keep == 1)).all()
    assert (keep.sum(1) >= minimum).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_most_probable_slots_make_up_for_what_is_missing(training: bool) -> None:
    module = built(minimum=2).train(training)
    with torch.no_grad():
        module.score.bias[1] -= 40
    x = slots().requires_grad_()
    decision = module(x, generator=torch.Generator().manual_seed(0))
    expected = decision.probability.topk(2, dim=1).indices.sort(1).values
    assert torch.equal(decision.keep.nonzero()[:, 1].view(3, 2), expected)


def test_a_slot_that_was_added_carries_no_gradient() -> None:
    module = constant(built(), -2.0)
    x = slots(40, 2)
    gumbel = noise((40, 2), seed=5)
    chosen = (gumbel[1] - 2 > gumbel[0]).any(1)
    decision = module(x, generator=torch.Generator().manual_seed(5))
    added = (decision.keep == 1) & ~chosen.unsqueeze(1)
    assert (added.sum(1) == (~chosen)).all()
    assert added.any()
    decision.keep[added].sum().backward()
    assert module.score.bias.grad is not None
    assert (module.score.bias.grad == 0).all()


@pytest.mark.slow
@given(order=st.permutations(range(5)))
def test_each_slot_is_judged_on_its_own(order: list[int]) -> None:
    module, x = built().eval(), slots()
    torch.testing.assert_close(module(x[:, order]).probability, module(x).probability[:, order])


def test_half_precision_slots_and_autocast_decide_as_single_precision_does() -> None:
    module = built().float().eval()
    x = slots().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        cast = module(x)
    assert cast.probability.dtype == torch.float32
    assert torch.equal(cast.probability, module(x.float()).probability)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("temperature", 0.0, "a positive number"), ("minimum", 0, "at least 1"), ("hidden", 0, "at least 1")],
)
def test_settings_that_make_no_sense_are_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}; expected {expected}"):
        SlotSelection(4, **{name: value})  # type: ignore[arg-type]


def test_a_minimum_above_the_number_of_slots_is_refused() -> None:
    with pytest.raises(InputError, match="slots is 5; expected at least 6"):
        built(minimum=6)(slots())
