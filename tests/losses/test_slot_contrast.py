"""The contrast of paired slots against loops, and what it does where few slots are left."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses import slot_contrast, slot_similarity, top_pairs

FORMS = ("paper", "bounded")


@dataclass(frozen=True)
class Slots:
    """Slots of some teachers and of the joint representation, and which of them are kept."""

    teachers: dict[str, Tensor]
    keeps: dict[str, Tensor]
    joint: Tensor
    keep: Tensor

    def pairs(self) -> dict[str, Tensor]:
        return {
            m: top_pairs(slot_similarity(self.teachers[m], self.joint), self.keeps[m], self.keep)
            for m in self.teachers
        }

    def loss(self, form: str, temperature: float = 1.0, pairs: dict[str, Tensor] | None = None) -> Tensor:
        similarity = {m: slot_similarity(slots, self.joint) for m, slots in self.teachers.items()}
        return slot_contrast(
            similarity,
            pairs or self.pairs(),
            self.teachers,
            self.keeps,
            self.joint,
            self.keep,
            form=form,
            temperature=temperature,
        )


def some(
    batch: int = 3, counts: tuple[int, ...] = (3, 4), joint: int = 5, dim: int = 4, seed: int = 0
) -> Slots:
    """Random slots in float64; in every sample at least two of each are kept."""
    generator = torch.Generator().manual_seed(seed)

    def slots(number: int) -> tuple[Tensor, Tensor]:
        keep = (torch.rand(batch, number, generator=generator) < 0.5).double()
        keep[:, :2] = 1
        return torch.randn(batch, number, dim, generator=generator, dtype=torch.float64), keep

    drawn = {name: slots(number) for name, number in zip("abc", counts, strict=False)}
    whole, keep = slots(joint)
    return Slots({m: s for m, (s, _) in drawn.items()}, {m: k for m, (_, k) in drawn.items()}, whole, keep)


def the_same_slot(teacher: int, joint: int) -> Slots:
    one = torch.ones(1, 1, 2, dtype=torch.float64)
    return Slots(
        {"a": one.expand(1, teacher, 2)},
        {"a": torch.ones(1, teacher, dtype=torch.float64)},
        one.expand(1, joint, 2),
        torch.ones(1, joint, dtype=torch.float64),
    )


def slow(slots: Slots, pairs: dict[str, Tensor], form: str, temperature: float) -> float:
    def cosine(x: Tensor, y: Tensor) -> float:
        return float(x @ y) / math.sqrt(float(x @ x) * float(y @ y))

    def within(vectors: Tensor, keep: Tensor) -> float:
        return sum(
            float(keep[k] * keep[m]) * math.exp(cosine(vectors[k], vectors[m]) / temperature)
            for k in range(len(keep))
            for m in range(len(keep))
            if k != m
        )

    terms = []
    for m, teacher in slots.teachers.items():
        for b in range(len(teacher)):
            numerator = sum(
                float(slots.keeps[m][b, k] * slots.keep[b, n])
                * math.exp(cosine(teacher[b, k], slots.joint[b, n]) / temperature)
                for k, n in pairs[m][b].nonzero().tolist()
            )
            denominator = within(teacher[b], slots.keeps[m][b]) + within(slots.joint[b], slots.keep[b])
            if form == "bounded":
                denominator += numerator
            if numerator > 0 and denominator > 0:
                terms.append(-math.log(numerator / denominator))
    return sum(terms) / len(terms) if terms else 0.0


@pytest.mark.parametrize("temperature", [1.0, 0.2])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("counts", [(3,), (3, 4), (2, 5, 3)])
def test_loss_is_that_of_the_loops(counts: tuple[int, ...], form: str, temperature: float) -> None:
    slots = some(counts=counts)
    expected = slow(slots, slots.pairs(), form, temperature)
    assert slots.loss(form, temperature).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_keep_is_a_factor_of_every_exponential(form: str) -> None:
    slots = some()
    pairs = slots.pairs()
    soft = replace(
        slots, keeps={m: 0.1 + 0.7 * keep for m, keep in slots.keeps.items()}, keep=0.2 + slots.keep / 2
    )
    assert soft.loss(form, pairs=pairs).item() == pytest.approx(slow(soft, pairs, form, 1.0), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_gradients(form: str) -> None:
    slots = some(batch=2, counts=(3, 2), joint=4, dim=3)
    assert (
        min(keep.min() for keep in (slots.keep, *slots.keeps.values())) == 0
    )  # also where a slot is dropped
    pairs = slots.pairs()

    def loss(a: Tensor, b: Tensor, joint: Tensor, keep_a: Tensor, keep_b: Tensor, keep: Tensor) -> Tensor:
        return Slots({"a": a, "b": b}, {"a": keep_a, "b": keep_b}, joint, keep).loss(form, 0.7, pairs)

    given = (*slots.teachers.values(), slots.joint, *slots.keeps.values(), slots.keep)
    assert torch.autograd.gradcheck(loss, tuple(x.clone().requires_grad_() for x in given))


@pytest.mark.parametrize("form", FORMS)
def test_dropped_slots_have_no_influence_but_their_selection_has_a_gradient(form: str) -> None:
    slots = some()
    keep = slots.keep.requires_grad_()
    before = slots.loss(form)
    before.backward()
    dropped = slots.keep == 0
    assert dropped.any()
    assert keep.grad is not None
    assert (keep.grad[dropped] > 0).all()  # one slot more to push apart
    joint = torch.where(dropped.unsqueeze(2), 100 + slots.joint, slots.joint).requires_grad_()
    after = replace(slots, joint=joint, keep=slots.keep.detach()).loss(form)
    assert after.item() == pytest.approx(before.item(), rel=1e-12)
    after.backward()
    assert joint.grad is not None
    assert joint.grad[dropped].eq(0).all()
    assert joint.grad[~dropped].ne(0).any()


@pytest.mark.parametrize("form", FORMS)
def test_the_order_of_slots_does_not_matter(form: str) -> None:
    slots = some()
    at, order = torch.tensor([2, 0, 1]), torch.tensor([4, 2, 0, 1, 3])
    moved = Slots(
        {**slots.teachers, "a": slots.teachers["a"][:, at]},
        {**slots.keeps, "a": slots.keeps["a"][:, at]},
        slots.joint[:, order],
        slots.keep[:, order],
    )
    assert moved.loss(form).item() == pytest.approx(slots.loss(form).item(), rel=1e-12)


@pytest.mark.parametrize(("teacher", "joint"), [(1, 2), (2, 2), (4, 3), (10, 10)])
def test_identical_slots_count_pairs(teacher: int, joint: int) -> None:
    slots = the_same_slot(teacher, joint)
    opposed = teacher * (teacher - 1) + joint * (joint - 1)
    assert slots.loss("paper", 0.1).item() == pytest.approx(math.log(opposed / teacher), abs=1e-12)
    assert slots.loss("bounded", 0.1).item() == pytest.approx(math.log(1 + opposed / teacher), abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_each_joint_slot_more_costs_more(form: str) -> None:
    losses = [the_same_slot(4, number).loss(form).item() for number in range(1, 12)]
    assert losses == sorted(set(losses))


def test_the_form_of_the_paper_falls_without_bound_as_slots_are_dropped() -> None:
    slots = some(batch=1, counts=(3,), joint=3)
    pairs = {"a": torch.zeros(1, 3, 3, dtype=torch.bool)}
    pairs["a"][0, 0, 0] = True
    first = torch.tensor([[1.0, 0, 0]], dtype=torch.float64)
    losses = {}
    for rest in (1.0, 1e-3, 1e-6, 1e-9):
        faint = first + rest * (1 - first)
        fading = replace(slots, keeps={"a": faint}, keep=faint)
        losses[rest] = [fading.loss(form, pairs=pairs).item() for form in FORMS]
    # With the other slots at weight w, only products of w remain in the denominator: log w and a constant.
    assert losses[1e-9][0] - losses[1e-6][0] == pytest.approx(math.log(1e-3), abs=1e-4)
    assert losses[1e-9][0] < -18
    assert 0 < losses[1e-9][1] < 1e-7


@pytest.mark.parametrize("form", FORMS)
def test_one_slot_left_on_each_side_adds_nothing(form: str) -> None:
    slots = some(batch=2)
    one = torch.zeros_like(slots.keep[1])
    one[0] = 1
    keep = torch.stack([slots.keep[0], one]).requires_grad_()
    keeps = {m: torch.stack([k[0], one[: k.shape[1]]]).requires_grad_() for m, k in slots.keeps.items()}
    loss = replace(slots, keeps=keeps, keep=keep).loss(form)
    alone = Slots(
        {m: s[:1] for m, s in slots.teachers.items()},
        {m: k[:1].detach() for m, k in keeps.items()},
        slots.joint[:1],
        keep[:1].detach(),
    ).loss(form)
    # Without a denominator there is no term; with the pair in it the term is 0 and counts in the mean.
    expected = alone.item() if form == "paper" else alone.item() / 2
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert keep.grad is not None
    assert keep.grad.isfinite().all()
    if form == "paper":
        assert keep.grad[1].eq(0).all()


@pytest.mark.parametrize("form", FORMS)
def test_nothing_kept_costs_nothing(form: str) -> None:
    slots = some(batch=2)
    joint = slots.joint.requires_grad_()
    nothing = replace(slots, keeps={m: torch.zeros_like(k) for m, k in slots.keeps.items()})
    loss = nothing.loss(form)
    assert loss.item() == 0
    loss.backward()
    assert joint.grad is not None
    assert joint.grad.eq(0).all()


@pytest.mark.parametrize("temperature", [1.0, 0.05, 0.01, 0.001])
@pytest.mark.parametrize("form", FORMS)
def test_float32_is_as_good_as_float64(form: str, temperature: float) -> None:
    slots = some(batch=4, counts=(6, 6), joint=8, dim=16)
    pairs = slots.pairs()
    single = Slots(
        {m: s.float().requires_grad_() for m, s in slots.teachers.items()},
        {m: k.float().requires_grad_() for m, k in slots.keeps.items()},
        slots.joint.float().requires_grad_(),
        slots.keep.float().requires_grad_(),
    )
    loss = single.loss(form, temperature, pairs)
    assert loss.item() == pytest.approx(slots.loss(form, temperature, pairs).item(), rel=1e-5, abs=1e-5)
    loss.backward()
    for x in (single.joint, single.keep, *single.teachers.values(), *single.keeps.values()):
        assert x.grad is not None
        assert x.grad.isfinite().all()


def test_autocast_does_not_lower_the_precision() -> None:
    slots = some()
    halves = Slots(
        {m: s.bfloat16() for m, s in slots.teachers.items()}, slots.keeps, slots.joint.bfloat16(), slots.keep
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert halves.loss("bounded").dtype == torch.float64
        assert replace(halves, keep=slots.keep.bfloat16()).loss("bounded").isfinite()


@pytest.mark.slow
@given(st.integers(0, 2**31), st.floats(0.05, 2.0))
def test_the_bounded_form_has_both_bounds(seed: int, temperature: float) -> None:
    slots = some(batch=1, counts=(3,), joint=4, dim=2, seed=seed)
    loss = slots.loss("bounded", temperature).item()
    teacher, joint = (int(keep.sum()) for keep in (slots.keeps["a"], slots.keep))
    ratio = (teacher * (teacher - 1) + joint * (joint - 1)) / teacher
    assert 0 <= loss <= math.log1p(ratio * math.exp(2 / temperature)) + 1e-9


@pytest.mark.parametrize("form", FORMS)
def test_descent_pulls_pairs_together_and_slots_of_one_model_apart(form: str) -> None:
    slots = some(batch=2, counts=(3,), joint=4, dim=8, seed=3)
    ones = replace(
        slots, keeps={m: torch.ones_like(k) for m, k in slots.keeps.items()}, keep=torch.ones_like(slots.keep)
    )
    teacher, joint = ones.teachers["a"].requires_grad_(), ones.joint.requires_grad_()
    pairs = ones.pairs()

    def measured() -> tuple[float, float]:
        off = ~torch.eye(3, dtype=torch.bool)
        with torch.no_grad():
            return (
                slot_similarity(teacher, joint)[pairs["a"]].mean().item(),
                slot_similarity(teacher, teacher)[:, off].mean().item(),
            )

    before = measured()
    optimizer = torch.optim.SGD([teacher, joint], lr=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        ones.loss(form, pairs=pairs).backward()
        optimizer.step()
    after = measured()
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_what_does_not_fit_is_named() -> None:
    slots = some()
    empty: dict[str, Tensor] = {}
    with pytest.raises(InputError, match="teachers is 0; expected at least 1"):
        slot_contrast(empty, empty, empty, empty, slots.joint, slots.keep, form="paper")
    with pytest.raises(InputError, match=r"keep of teachers \['a'\]; expected of \['a', 'b'\]"):
        replace(slots, keeps={"a": slots.keeps["a"]}).loss("paper", pairs=slots.pairs())
    with pytest.raises(InputError, match="temperature is 0"):
        slots.loss("paper", 0.0)
    with pytest.raises(InputError, match="form is 'exact'"):
        inspect.unwrap(slot_contrast)(
            {m: slot_similarity(s, slots.joint) for m, s in slots.teachers.items()},
            slots.pairs(),
            slots.teachers,
            slots.keeps,
            slots.joint,
            slots.keep,
            form="exact",
        )
