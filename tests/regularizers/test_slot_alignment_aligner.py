"""The aligner alone: the whole objective against loops, its gradients, and the pieces it is made of."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import (
    AlignerConfig,
    Alignment,
    Decomposition,
    SlotAligner,
    Tokens,
)
from unicode_cmg.regularizers.slot_alignment.decomposer import (
    Decomposer,
    chosen_first,
    kept_shares,
    mixture_errors,
    without_void,
)

DIMS = {"image": 6, "sound": 3}


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(*shape: int, seed: int, padding: bool = True) -> Tokens:
    values = torch.randn(*shape, generator=draws(seed), dtype=torch.float64)
    mask = torch.ones(shape[:2], dtype=torch.bool)
    mask[0, shape[1] - padding :] = False
    return Tokens(values, mask)


def case(**settings: object) -> tuple[SlotAligner, Tokens, dict[str, Tokens], dict[str, Tokens]]:
    """An aligner in float64, joint tokens of two parts, and two teachers."""
    torch.manual_seed(0)
    config = AlignerConfig.parse({"slots": 4, "dim": 5, **settings}, where="test")
    aligner = SlotAligner(config, 5, DIMS).double()
    parts = {"a": tokens(3, 2, 5, seed=1, padding=False), "b": tokens(3, 2, 5, seed=2, padding=False)}
    joint = Tokens(
        torch.cat([p.values for p in parts.values()], 1), torch.cat([p.mask for p in parts.values()], 1)
    )
    teachers = {m: tokens(3, 7, dim, seed=3) for m, dim in DIMS.items()}
    return aligner, joint, teachers, parts


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def looped_contrast(alignment: Alignment, bounded: bool) -> float:
    """Eqs. 1 to 3, a sample and a teacher at a time."""
    terms = []
    for b in range(3):
        joint = [s for s, k in zip(alignment.joint.slots[b], alignment.joint.keep[b], strict=True) if k == 1]
        for teacher in alignment.teachers.values():
            own = [s for s, k in zip(teacher.slots[b], teacher.keep[b], strict=True) if k == 1]
            entries = sorted((cosine(s, t) for s in own for t in joint), reverse=True)
            above = sum(math.exp(c) for c in entries[: len(own)])
            below = sum(
                math.exp(cosine(slots[i], slots[j]))
                for slots in (own, joint)
                for i in range(len(slots))
                for j in range(len(slots))
                if i != j
            )
            terms.append(-math.log(above / (below + above * bounded)))
    return sum(terms) / len(terms)


def looped_retrieval(parts: dict[str, Tokens]) -> float:
    """Eq. 4 with exact transport between two tokens and two tokens of unit length."""

    def distance(x: Tensor, y: Tensor) -> float:
        x, y = F.normalize(x, dim=1), F.normalize(y, dim=1)
        return min(
            sum(float((x[i] - y[j]).square().sum()) for i, j in enumerate(order)) / 2
            for order in permutations(range(2))
        )

    a, b = parts["a"].values, parts["b"].values
    total = 0.0
    for i in range(3):
        others = sum(math.exp(-distance(a[i], b[j])) for j in range(3) if j != i)
        total -= math.log(math.exp(-distance(a[i], b[i])) / others)
    return total / 3


def looped_reconstruction(decomposer: Decomposer, d: Decomposition, given_: Tokens) -> float:
    """Each token rebuilt by itself, from all slots and from the kept ones."""
    errors = {"all": 0.0, "kept": 0.0}
    count = 0
    decoded = decomposer.decoder(d.slots)
    for b in range(3):
        for n in range(given_.mask.shape[1]):
            if not given_.mask[b, n]:
                continue
            target = given_.values[b, n]
            target = (target - target.mean()) / (target.var(correction=0) + 1e-5).sqrt()
            for which, keep in (("all", torch.ones(4)), ("kept", d.keep[b])):
                share = d.attention[b, n] * keep
                share = share / (share.sum() + (1e-5 if which == "kept" else 0))
                rebuilt = sum(share[k] * decoded[b, k] for k in range(4))
                errors[which] += float((rebuilt - target).square().sum())
            count += len(target)
    return (errors["all"] + errors["kept"]) / 2 / count


@pytest.mark.parametrize("bounded", [True, False])
def test_the_objective_is_what_loops_make_of_its_slots(bounded: bool) -> None:
    pytest.importorskip("ot")
    aligner, joint, teachers, parts = case(contrast="bounded" if bounded else "paper", distance="exact")
    with torch.no_grad():
        alignment = aligner(joint, teachers, generator=draws())
        terms = aligner.losses(alignment, joint, teachers, parts=parts, generator=draws())
        every = [alignment.joint, *alignment.teachers.values()]
        rebuilt = [
            looped_reconstruction(aligner.joint, alignment.joint, joint),
            *(
                looped_reconstruction(aligner.get_submodule(f"teachers.{m}"), d, teachers[m])
                for m, d in alignment.teachers.items()
            ),
        ]
    assert {int(k) for d in every for k in d.keep.sum(1)} > {2}, "the case should drop some slots"
    assert terms["contrastive"].item() == pytest.approx(looped_contrast(alignment, bounded), rel=1e-9)
    assert terms["retrieval"].item() == pytest.approx(looped_retrieval(parts), rel=1e-9)
    assert terms["reconstruction"].item() == pytest.approx(sum(rebuilt) / 3, rel=1e-9)
    kept = [sum(d.keep.flatten().tolist()) / 12 for d in every]
    assert terms["keep"].item() == pytest.approx(sum(kept) / 3)


@pytest.mark.slow
@pytest.mark.parametrize("term", ["contrastive", "retrieval"])
def test_gradients_into_the_tokens_agree_with_finite_differences(term: str) -> None:
    aligner, joint, teachers, _ = case(update="gru")
    aligner.eval()

    def loss(values: Tensor) -> Tensor:
        whole = Tokens(values, joint.mask)
        parts = {
            m: Tokens(v, torch.ones(3, 2, dtype=torch.bool))
            for m, v in zip("ab", values.split(2, 1), strict=True)
        }
        alignment = aligner(whole, teachers, generator=draws())
        return aligner.losses(alignment, whole, teachers, parts=parts, generator=draws())[term]

    assert torch.autograd.gradcheck(loss, joint.values.clone().requires_grad_(), fast_mode=True)


def test_gradients_of_rebuilding_agree_with_finite_differences() -> None:
    given_ = tokens(2, 6, 5, seed=0)
    attention = torch.rand(2, 6, 3, generator=draws(), dtype=torch.float64).softmax(2)
    keep = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    parts = torch.randn(2, 3, 5, generator=draws(), dtype=torch.float64)

    def errors(attention: Tensor, keep: Tensor, parts: Tensor) -> Tensor:
        present = attention * given_.mask.unsqueeze(2)
        cleared = given_.cleared()
        return mixture_errors(cleared.values, cleared.mask, [present, kept_shares(present, keep)], parts)

    inputs = tuple(x.clone().requires_grad_() for x in (attention, keep, parts))
    assert torch.autograd.gradcheck(errors, inputs)
    present = attention * given_.mask.unsqueeze(2)
    direct = (kept_shares(present, keep) @ parts - given_.values)[given_.mask].square().mean()
    torch.testing.assert_close(errors(attention, keep, parts)[1], direct)


def test_slots_with_and_without_a_graph_are_the_same() -> None:
    aligner, joint, teachers, _ = case()
    leaf = Tokens(joint.values.clone().requires_grad_(), joint.mask)
    d = aligner(leaf, teachers, generator=draws()).joint
    torch.testing.assert_close(d.held.slots, d.slots, rtol=0, atol=0)
    torch.testing.assert_close(d.held.attention, d.attention, rtol=0, atol=0)
    d.slots.sum().backward()
    assert leaf.values.grad is not None
    assert leaf.values.grad.ne(0).any()
    again = aligner(leaf, teachers, generator=draws()).joint
    (gradient,) = torch.autograd.grad(
        again.held.slots.sum() + again.keep.sum(), leaf.values, allow_unused=True
    )
    assert gradient is None


def test_the_contrastive_term_takes_the_kept_slots_as_a_fact() -> None:
    aligner, joint, teachers, _ = case()
    alignment = aligner(joint, teachers, generator=draws())
    aligner.losses(alignment, joint, teachers, generator=draws())["contrastive"].backward()
    scores = [p for n, p in aligner.named_parameters() if ".selection." in f".{n}"]
    assert scores
    assert all(p.grad is None for p in scores)


def test_the_contrastive_term_trains_the_selection_if_asked_to() -> None:
    aligner, joint, teachers, _ = case(selection_gradient=True)
    alignment = aligner(joint, teachers, generator=draws())
    aligner.losses(alignment, joint, teachers, generator=draws())["contrastive"].backward()
    scores = [p for n, p in aligner.named_parameters() if ".selection." in f".{n}"]
    assert any(p.grad is not None and p.grad.ne(0).any() for p in scores)


@pytest.mark.slow
@given(
    seed=st.integers(0, 1000),
    slots=st.integers(1, 5),
    count=st.integers(1, 6),
    options=st.fixed_dictionaries(
        {
            "adaptive": st.booleans(),
            "drop_void": st.booleans(),
            "matching": st.sampled_from(["top", "one-to-one"]),
        }
    ),
    training=st.booleans(),
)
@settings(max_examples=40)
def test_any_number_of_tokens_and_slots_gives_finite_terms(
    seed: int, slots: int, count: int, options: dict[str, object], training: bool
) -> None:
    torch.manual_seed(seed)
    minimum = min(2, slots)
    config = AlignerConfig.parse({"slots": slots, "minimum": minimum, **options}, where="test")
    aligner = SlotAligner(config, 4, {"m": 3}).train(training)
    masks = torch.rand(2, count, generator=draws(seed)) > 0.3
    joint = Tokens(torch.randn(2, count, 4).requires_grad_(), masks)
    teachers = {"m": Tokens(torch.randn(2, count, 3), masks)}
    alignment = aligner(joint, teachers, generator=draws(seed))
    for d in (alignment.joint, *alignment.teachers.values()):
        assert set(d.keep.unique().tolist()) <= {0.0, 1.0}
        assert d.keep.sum(1).min() >= minimum
        torch.testing.assert_close(d.attention.sum(2), masks.to(d.attention))
    terms = aligner.losses(alignment, joint, teachers, parts={"a": joint, "b": joint}, generator=draws(seed))
    torch.stack(list(terms.values())).sum().backward()
    assert all(loss.isfinite() for loss in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in [*aligner.parameters(), joint.values])


def test_what_no_token_chooses_is_void() -> None:
    attention = torch.tensor([[[0.5, 0.5, 0.0], [0.6, 0.1, 0.3], [0.0, 0.1, 0.9]]])
    chosen = chosen_first(attention, torch.tensor([[True, True, False]]))
    assert chosen.tolist() == [[True, False, False]]
    keep = torch.tensor([[0.0, 1.0, 1.0]], requires_grad=True)
    probability = torch.tensor([[0.2, 0.7, 0.9]])
    assert without_void(keep, probability, chosen, 1).tolist() == [[1, 0, 0]]
    enough = without_void(keep, probability, chosen, 2)
    assert enough.tolist() == [[1, 0, 1]]
    (gradient,) = torch.autograd.grad(without_void(keep, probability, ~chosen, 1).sum(), keep)
    assert gradient.tolist() == [[0, 1, 1]]


def test_with_a_floor_the_length_of_a_slot_says_how_much_it_holds() -> None:
    settings = {"iterations": 1, "normalize": "tokens"}
    bare, joint, teachers, _ = case(**settings)
    floored = case(floor=0.1, **settings)[0]
    floored.joint.attention.load_state_dict(bare.joint.attention.state_dict())
    lengths, attention = [], None
    for aligner in (bare.eval(), floored.eval()):
        made = aligner(joint, teachers, generator=draws()).joint
        lengths.append(made.slots.norm(dim=2))
        attention = made.attention.sum(1)
    assert attention is not None
    shares = attention / (attention + 0.1 * joint.mask.sum(1, keepdim=True))
    assert torch.allclose(lengths[1], lengths[0] * shares, rtol=1e-5)
    assert isinstance(floored.joint.selection.norm, torch.nn.Identity)
    assert isinstance(bare.joint.selection.norm, torch.nn.LayerNorm)


def test_tokens_that_do_not_fit_are_refused() -> None:
    aligner, joint, teachers, _ = case()
    with pytest.raises(InputError, match="teachers 'image'; expected 'image', 'sound'"):
        aligner(joint, {"image": teachers["image"]}, generator=draws())
    with pytest.raises(InputError, match=r"teacher 'sound': tokens \[3, 7, 6\]; expected \[3, N, 3\]"):
        aligner(joint, {**teachers, "sound": teachers["image"]}, generator=draws())
    with pytest.raises(InputError, match=r"joint: tokens \[3, 7, 6\]; expected \[3, N, 5\]"):
        aligner(teachers["image"], teachers, generator=draws())
    with pytest.raises(InputError, match="teachers is 0; expected at least 1"):
        SlotAligner(AlignerConfig(), 5, {})
