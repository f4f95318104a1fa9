"""Slot attention is SGA paper eqs. 5-7, knows no order of slots or tokens, and never sees padding."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from unicode_cmg.errors import InputError
from unicode_cmg.layers import SlotAssignment, SlotAttention

UPDATES = ("mean", "gru")


def built(update: str = "mean", *, slots: int = 3, **options: object) -> SlotAttention:
    """A small module in float64 whose logits are large enough to matter."""
    torch.manual_seed(0)
    module = SlotAttention(5, 4, slots=slots, update=update, **options).double()  # type: ignore[arg-type]
    with torch.no_grad():
        module.key.weight.mul_(4)
    return module


def sample(module: SlotAttention, *, batch: int = 2, tokens: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Tokens and starting slots."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, tokens, 5, generator=generator, dtype=torch.float64)
    return x, module.initial_slots(batch, generator).detach()


def softmax(logits: list[Tensor]) -> list[Tensor]:
    total = sum(logit.exp() for logit in logits)
    return [logit.exp() / total for logit in logits]


def standardised(x: Tensor) -> Tensor:
    mean = sum(x) / len(x)
    variance = sum((value - mean) ** 2 for value in x) / len(x)
    return (x - mean) / (variance + 1e-5).sqrt()


def transcribed(module: SlotAttention, tokens: Tensor, initial: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eqs. 5-7 for one sample, one number at a time."""
    slots, (count, dim) = list(initial), (len(tokens), initial.shape[1])
    if module.normalize != "none":
        tokens = torch.stack([standardised(x) for x in tokens])
    for _ in range(module.iterations):
        asking = [standardised(s) for s in slots] if module.normalize == "both" else slots
        queries = [module.query.weight @ s for s in asking]
        keys = [module.key.weight @ h for h in tokens]
        values = [module.value.weight @ h for h in tokens]
        attention = [softmax([k @ q / math.sqrt(dim) for q in queries]) for k in keys]  # eq. 6
        held = [sum(attention[i][j] for i in range(count)) for j in range(len(slots))]
        totals = [mass + module.floor * count for mass in held]
        weights = [[attention[i][j] / totals[j] for j in range(len(slots))] for i in range(count)]
        means = [sum(weights[i][j] * values[i] for i in range(count)) for j in range(len(slots))]  # eq. 7
        slots = (
            means
            if module.update is None
            else [gated(module.update, *pair) for pair in zip(means, slots, strict=True)]
        )
    return torch.stack(slots), torch.tensor(attention), torch.tensor(weights)


def gated(update: nn.Module, mean: Tensor, slot: Tensor) -> Tensor:
    """A gated recurrent unit and a residual network, from their equations."""
    gru = update.gru
    into = [w @ mean + b for w, b in zip(gru.weight_ih.chunk(3), gru.bias_ih.chunk(3), strict=True)]
    kept = [w @ slot + b for w, b in zip(gru.weight_hh.chunk(3), gru.bias_hh.chunk(3), strict=True)]
    reset, gate = torch.sigmoid(into[0] + kept[0]), torch.sigmoid(into[1] + kept[1])
    slot = (1 - gate) * torch.tanh(into[2] + reset * kept[2]) + gate * slot
    hidden = update.expand.weight @ (standardised(slot) * update.norm.weight + update.norm.bias)
    hidden = (hidden + update.expand.bias).clamp(min=0)
    return slot + update.contract.weight @ hidden + update.contract.bias


def assert_same(actual: SlotAssignment, expected: SlotAssignment, **tolerance: float) -> None:
    for field in ("slots", "attention", "weights"):
        torch.testing.assert_close(getattr(actual, field), getattr(expected, field), **tolerance)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("normalize", "floor"), [("none", 0.0), ("tokens", 0.03), ("both", 0.0)])
def test_every_iteration_is_equations_five_to_seven(update: str, normalize: str, floor: float) -> None:
    module = built(update, normalize=normalize, floor=floor)
    tokens, initial = sample(module)
    result = module(tokens, initial=initial)
    with torch.no_grad():
        for b in range(2):
            slots, attention, weights = transcribed(module, tokens[b], initial[b])
            torch.testing.assert_close(result.slots[b], slots, atol=1e-6, rtol=0)
            torch.testing.assert_close(result.attention[b], attention, atol=1e-6, rtol=0)
            torch.testing.assert_close(result.weights[b], weights, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("normalize", "floor"), [("none", 0.0), ("both", 0.1)])
def test_gradients_agree_with_finite_differences(update: str, normalize: str, floor: float) -> None:
    module = built(update, slots=2, normalize=normalize, floor=floor, iterations=2)
    tokens, initial = sample(module, tokens=3)
    mask = torch.tensor([[True] * 3, [True] * 2 + [False]])
    names, parameters = zip(*module.named_parameters(), strict=True)

    def outputs(tokens: Tensor, initial: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(names, values, strict=True))
        result = torch.func.functional_call(module, given, (tokens, mask), {"initial": initial})
        return result.slots, result.attention, result.weights

    inputs = (tokens, initial, *(p.detach() for p in parameters))
    assert torch.autograd.gradcheck(outputs, [x.clone().requires_grad_() for x in inputs])


@given(order=st.permutations(range(4)), update=st.sampled_from(UPDATES))
def test_slots_are_permutation_equivariant(order: list[int], update: str) -> None:
    module = built(update, slots=4)
    tokens, initial = sample(module)
    plain, moved = module(tokens, initial=initial), module(tokens, initial=initial[:, order])
    expected = SlotAssignment(plain.slots[:, order], plain.attention[:, :, order], plain.weights[:, :, order])
    assert_same(moved, expected)


@pytest.mark.slow
@given(order=st.permutations(range(6)), update=st.sampled_from(UPDATES))
def test_slots_do_not_know_the_order_of_the_tokens(order: list[int], update: str) -> None:
    module = built(update)
    tokens, initial = sample(module)
    plain, moved = module(tokens, initial=initial), module(tokens[:, order], initial=initial)
    assert_same(moved, SlotAssignment(plain.slots, plain.attention[:, order], plain.weights[:, order]))


@given(valid=st.integers(1, 6), update=st.sampled_from(UPDATES))
def test_padding_changes_nothing_in_slot_attention(valid: int, update: str) -> None:
    module = built(update, floor=0.1)
    tokens, initial = sample(module)
    mask = (torch.arange(6) < valid).expand(2, 6)
    padded = module(torch.where(mask.unsqueeze(-1), tokens, 1e3), mask, initial=initial)
    alone = module(tokens[:, :valid], initial=initial)
    assert_same(SlotAssignment(padded.slots, padded.attention[:, :valid], padded.weights[:, :valid]), alone)
    assert (padded.attention[:, valid:] == 0).all()
    assert (padded.weights[:, valid:] == 0).all()


def test_padding_gets_no_gradient() -> None:
    module = built()
    tokens, initial = sample(module)
    tokens.requires_grad_()
    mask = torch.tensor([[True] * 3 + [False] * 3] * 2)
    module(tokens, mask, initial=initial).slots.square().sum().backward()
    assert tokens.grad is not None
    assert (tokens.grad[:, 3:] == 0).all()
    assert (tokens.grad[:, :3] != 0).any()


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("valid", [0, 1])
def test_fewer_tokens_than_slots_give_finite_slots_and_gradients(update: str, valid: int) -> None:
    module = built(update)
    tokens, initial = sample(module)
    tokens.requires_grad_()
    mask = torch.stack([torch.arange(6) < valid, torch.ones(6, dtype=torch.bool)])
    result = module(tokens, mask, initial=initial)
    result.slots.square().sum().backward()
    assert result.slots.isfinite().all()
    assert (result.weights[0].sum(0) == valid).all()
    for gradient in (tokens.grad, *(p.grad for p in (module.query.weight, module.value.weight))):
        assert gradient is not None
        assert gradient.isfinite().all()


def test_a_slot_that_nothing_attends_to_is_the_mean_of_the_tokens() -> None:
    module = built(iterations=1, normalize="none")
    with torch.no_grad():
        module.key.weight.zero_()[0, 0] = 1e4
        module.query.weight.copy_(torch.eye(4))
    tokens, initial = sample(module)
    tokens[..., 0], initial[:, :, 0] = 1.0, torch.tensor([1.0, -1.0, -1.0])
    result = module(tokens, initial=initial)
    assert (result.attention[..., 1:] == 0).all()
    expected = module.value(tokens.mean(1, keepdim=True)).expand(2, 2, 4)
    torch.testing.assert_close(result.slots[:, 1:], expected)


def test_with_a_floor_a_slot_is_as_long_as_what_it_holds() -> None:
    module = built(iterations=1, normalize="none", floor=0.1)
    with torch.no_grad():
        module.query.weight.zero_()  # every slot holds 6 / 3 of 6 tokens
    tokens, initial = sample(module)
    expected = module.value(tokens.mean(1, keepdim=True)).expand(2, 3, 4) * 2 / (2 + 0.1 * 6)
    torch.testing.assert_close(module(tokens, initial=initial).slots, expected)


def test_with_a_floor_the_winner_of_a_concept_leaves_the_loser_void() -> None:
    tokens = torch.eye(2, 5, dtype=torch.float64).repeat_interleave(10, 0).unsqueeze(0)
    initial = torch.tensor([[[1.0, 0, 0, 0], [0.9, 0, 0, 0], [0, 1, 0, 0]]], dtype=torch.float64)
    held = {}
    for floor in (0.0, 0.1):
        module = built(iterations=6, normalize="none", floor=floor)
        with torch.no_grad():
            module.query.weight.copy_(20 * torch.eye(4))
            module.key.weight.copy_(torch.eye(4, 5))
            module.value.weight.copy_(torch.eye(4, 5))
        held[floor] = module(tokens, initial=initial).slots[0].norm(dim=1)
    torch.testing.assert_close(held[0.0], torch.ones(3, dtype=torch.float64), atol=0.01, rtol=0)
    assert held[0.1][0] > 0.8
    assert held[0.1][1] < 0.05


def test_attention_sums_to_one_over_slots_and_weights_over_tokens() -> None:
    module = built("gru")
    tokens, initial = sample(module)
    result = module(tokens, initial=initial)
    torch.testing.assert_close(result.attention.sum(2), torch.ones(2, 6, dtype=torch.float64))
    torch.testing.assert_close(result.weights.sum(1), torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("update", UPDATES)
def test_single_precision_agrees_with_double_precision(update: str) -> None:
    module = built(update)
    tokens, initial = sample(module)
    double = module(tokens, initial=initial)
    single = module.float()(tokens.float(), initial=initial.float())
    assert single.slots.dtype == torch.float32
    expected = SlotAssignment(double.slots.float(), double.attention.float(), double.weights.float())
    assert_same(single, expected, atol=1e-5, rtol=1e-4)


def test_autocast_does_not_round_anything() -> None:
    module = built("gru").float()
    tokens, initial = (x.float() for x in sample(module.double()))
    module = module.float()
    plain = module(tokens, initial=initial)
    with torch.autocast("cpu", torch.bfloat16):
        cast = module(tokens, initial=initial)
    assert_same(cast, plain, atol=0, rtol=0)


def test_tokens_stored_in_half_precision_are_computed_in_the_precision_of_the_module() -> None:
    module = built().float()
    tokens, initial = sample(module)
    stored, initial = tokens.half(), initial.float()
    assert_same(module(stored, initial=initial), module(stored.float(), initial=initial), atol=0, rtol=0)


@pytest.mark.parametrize(("init", "starts"), [("shared", 1), ("per-slot", 3)])
def test_slots_start_from_the_learned_gaussian(init: str, starts: int) -> None:
    module = built(init=init)
    assert module.mean.shape == (starts, 4)
    drawn = module.initial_slots(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), module.mean.expand(3, 4), atol=0.06, rtol=0)
    torch.testing.assert_close(drawn.std(0), module.log_deviation.exp().expand(3, 4), atol=0, rtol=0.03)
    drawn.square().sum().backward()
    for parameter in (module.mean, module.log_deviation):
        assert parameter.grad is not None
        assert (parameter.grad != 0).all()


def test_the_draw_follows_its_generator_and_leaves_the_global_one_alone() -> None:
    module = built()
    before = torch.get_rng_state()
    first, second = (module.initial_slots(2, torch.Generator().manual_seed(3)) for _ in range(2))
    module(sample(module)[0], initial=first)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"slots": 0}, "slots is 0"),
        ({"slots": 2, "iterations": 0}, "iterations is 0"),
        ({"slots": 2, "update": "sum"}, "update is 'sum'"),
        ({"slots": 2, "init": "data"}, "init is 'data'"),
        ({"slots": 2, "normalize": "slots"}, "normalize is 'slots'"),
        ({"slots": 2, "hidden": 0}, "hidden is 0"),
        ({"slots": 2, "floor": -0.1}, "floor is -0.1"),
        ({"slots": 2, "eps": 0.0}, "eps is 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        inspect.unwrap(SlotAttention.__init__)(SlotAttention(5, 4, slots=2), 5, 4, **options)
