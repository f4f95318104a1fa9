"""The retrieval loss against loops, and what it does with clips that lack something."""

from __future__ import annotations

import inspect
import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import InputError
from unicode_cmg.losses import (
    entropic_distances,
    exact_distances,
    random_directions,
    sliced_distances,
    slot_retrieval_loss,
)

every_distance = pytest.mark.parametrize("distance", ["sliced", "exact", "entropic"])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(
    batch: int = 4, counts: tuple[int, ...] = (3, 2, 4), dim: int = 3, seed: int = 0
) -> dict[str, Tensor]:
    g = generator(seed)
    return {
        m: torch.randn(batch, n, dim, generator=g, dtype=torch.float64)
        for m, n in zip("abc", counts, strict=False)
    }


def some_masks(batch: int = 4) -> dict[str, Tensor]:
    masks = {m: torch.rand(batch, n, generator=generator(1)) < 0.6 for m, n in (("a", 3), ("b", 2))}
    for mask in masks.values():
        mask[:, 0] = True
    masks["b"][1] = False  # a clip that is no candidate here
    masks["a"][2] = False  # and one that asks nothing
    return masks


def slow(
    tokens: dict[str, Tensor], masks: dict[str, Tensor], distance: str, queries: str, temperature: float
) -> float:
    """Eq. 4 clip by clip, distance by distance."""
    along = random_directions(64, 3, generator=generator())

    def valid(m: str, b: int) -> Tensor:
        kept = tokens[m][b] if m not in masks else tokens[m][b][masks[m][b]]
        return torch.stack([v / v.norm() for v in kept]) if len(kept) else kept

    def similarity(x: Tensor, y: Tensor) -> float:
        pair = (x[None], None, y[None], None)
        if distance == "sliced":
            value = sliced_distances(*pair, directions=along)
        elif distance == "exact":
            value = exact_distances(*pair)
        else:
            value = entropic_distances(*pair, entropy=1.0)
        return -value.item() / temperature

    terms = []
    batch = len(tokens["a"])
    for q in tokens if queries == "all" else ["a"]:
        for b in range(batch):
            query = valid(q, b)
            if not len(query):
                continue
            numerator = denominator = 0.0
            for m in tokens:
                for i in range(batch):
                    if m == q or not len(valid(m, i)):
                        continue
                    value = math.exp(similarity(query, valid(m, i)))
                    numerator += value if i == b else 0
                    denominator += value if i != b else 0
            if numerator and denominator:
                terms.append(-math.log(numerator / denominator))
    return sum(terms) / len(terms)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("queries", ["first", "all"])
@pytest.mark.parametrize("counts", [(3, 2), (3, 2, 4)])
@every_distance
def test_loss_is_that_of_the_loops(
    distance: str, counts: tuple[int, ...], queries: str, masked: bool
) -> None:
    tokens, masks = some(counts=counts), some_masks() if masked else {}
    ours = slot_retrieval_loss(
        tokens,
        masks,
        distance=distance,
        queries=queries,
        temperature=0.5,
        entropy=1.0,
        generator=generator(),
    )
    tolerance = 1e-4 if distance == "entropic" else 1e-9  # its plans are found to a tolerance of 1e-5
    assert ours.item() == pytest.approx(slow(tokens, masks, distance, queries, 0.5), rel=tolerance)


@pytest.mark.slow
@every_distance
def test_gradients(distance: str) -> None:
    tokens, masks = some(3, (3, 2), 2), some_masks(3)

    def loss(*values: Tensor) -> Tensor:
        return slot_retrieval_loss(
            dict(zip("ab", values, strict=True)),
            masks,
            distance=distance,
            queries="all",
            entropy=1.0,
            generator=generator(),
        )

    # The entropic plans are found to a tolerance of 1e-5.
    atol = 1e-4 if distance == "entropic" else 1e-6
    assert torch.autograd.gradcheck(loss, tuple(x.requires_grad_() for x in tokens.values()), atol=atol)


@pytest.mark.parametrize("distance", ["exact", "entropic"])
def test_clips_of_one_token_are_compared_by_twice_their_cosine(distance: str) -> None:
    tokens = some(counts=(1, 1))
    a, b = (functional.normalize(x.squeeze(1), dim=-1) for x in tokens.values())
    logits = 2 * a @ b.T
    negatives = logits.masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf).logsumexp(1)
    ours = slot_retrieval_loss(tokens, distance=distance, generator=generator())
    assert ours.item() == pytest.approx((negatives - logits.diagonal()).mean().item(), rel=1e-9)


@every_distance
def test_longer_tokens_do_not_change_the_loss(distance: str) -> None:
    tokens = some()
    longer = {m: x * torch.linspace(0.1, 50, x.shape[1]).unsqueeze(1) for m, x in tokens.items()}
    first, second = (
        slot_retrieval_loss(x, distance=distance, generator=generator()).item() for x in (tokens, longer)
    )
    assert first == pytest.approx(second, rel=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(2, 5), st.floats(0.01, 2.0))
def test_the_loss_has_both_bounds(seed: int, batch: int, temperature: float) -> None:
    loss = slot_retrieval_loss(
        some(batch, seed=seed), distance="exact", temperature=temperature, generator=generator()
    )
    assert abs(loss.item() - math.log(batch - 1)) <= 4 / temperature + 1e-9


@every_distance
def test_matching_clips_cost_less_than_others(distance: str) -> None:
    a = some(counts=(3,), batch=6, dim=8)["a"]
    near = a.flip(1) + 0.1 * some(6, (3,), 8, seed=1)["a"]
    matched, moved = (
        slot_retrieval_loss({"a": a, "b": b}, distance=distance, generator=generator()).item()
        for b in (near, near.roll(1, 0))
    )
    assert matched < math.log(5) < moved


@every_distance
@pytest.mark.parametrize("queries", ["first", "all"])
def test_one_clip_costs_nothing_and_gets_no_gradient(queries: str, distance: str) -> None:
    tokens = {m: x.requires_grad_() for m, x in some(1).items()}
    loss = slot_retrieval_loss(tokens, distance=distance, queries=queries, generator=generator())
    assert loss.item() == 0
    loss.backward()
    for x in tokens.values():
        assert x.grad is not None
        assert x.grad.eq(0).all()


def test_clips_without_tokens_are_as_good_as_absent() -> None:
    tokens, masks = some(5, (3, 2)), some_masks(5)
    masks["a"][2] = masks["b"][2] = False
    kept = torch.tensor([0, 1, 3, 4])
    full, fewer = (
        slot_retrieval_loss(
            {m: x[at] for m, x in tokens.items()},
            {m: mask[at] for m, mask in masks.items()},
            queries="all",
            generator=generator(),
        )
        for at in (torch.arange(5), kept)
    )
    assert full.item() == pytest.approx(fewer.item(), rel=1e-12)
    nothing = {m: torch.zeros_like(mask) for m, mask in masks.items()}
    assert slot_retrieval_loss(tokens, nothing, generator=generator()).item() == 0


@every_distance
def test_padding_gets_no_gradient_whatever_it_holds(distance: str) -> None:
    tokens, masks = some(counts=(3, 2)), some_masks()
    expected = slot_retrieval_loss(tokens, masks, distance=distance, generator=generator())
    tokens = {m: x.masked_fill(~masks[m].unsqueeze(2), torch.nan).requires_grad_() for m, x in tokens.items()}
    loss = slot_retrieval_loss(tokens, masks, distance=distance, generator=generator())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    loss.backward()
    for m, x in tokens.items():
        assert x.grad is not None
        assert x.grad[~masks[m]].eq(0).all()
        assert x.grad[0, 0].ne(0).any()


def test_randomness_is_that_of_the_generator_and_only_sliced_needs_any() -> None:
    tokens = some()
    before = torch.get_rng_state()

    def loss(distance: str, seed: int) -> tuple[float, bool]:
        g = generator(seed)
        value = slot_retrieval_loss(tokens, distance=distance, generator=g).item()
        return value, torch.equal(g.get_state(), generator(seed).get_state())

    assert loss("sliced", 1) == loss("sliced", 1)
    assert loss("sliced", 1)[0] != loss("sliced", 2)[0]
    assert loss("exact", 1) == loss("exact", 2) == (loss("exact", 1)[0], True)
    assert loss("entropic", 1) == loss("entropic", 2) == (loss("entropic", 1)[0], True)
    assert torch.equal(torch.get_rng_state(), before)


@every_distance
def test_low_precision_and_autocast_give_float32(distance: str) -> None:
    tokens = some()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = slot_retrieval_loss(
            {m: x.bfloat16() for m, x in tokens.items()}, distance=distance, generator=generator()
        )
    assert ours.dtype == torch.float32
    reference = slot_retrieval_loss(
        {m: x.bfloat16().double() for m, x in tokens.items()}, distance=distance, generator=generator()
    )
    assert ours.item() == pytest.approx(reference.item(), abs=1e-4)


def test_what_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = some()
    loss = inspect.unwrap(slot_retrieval_loss)
    with pytest.raises(InputError, match="modalities is 1; expected at least 2"):
        loss({"a": tokens["a"]}, generator=generator())
    with pytest.raises(InputError, match=r"widths of tokens are \{'a': 3, 'b': 2\}"):
        loss({"a": tokens["a"], "b": tokens["b"][..., :2]}, generator=generator())
    with pytest.raises(InputError, match="temperature is 0"):
        loss(tokens, temperature=0.0, generator=generator())
    with pytest.raises(InputError, match="queries is 'each'; expected 'first' or 'all'"):
        loss(tokens, queries="each", generator=generator())
    with pytest.raises(InputError, match="distance is 'cosine'; expected 'sliced' or 'exact' or 'entropic'"):
        loss(tokens, distance="cosine", generator=generator())
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(InputError, match=r"pip install 'unicode-cmg\[transport\]'"):
        loss(tokens, distance="exact", generator=generator())
