"""Similarity of slots and the choice of pairs, against loops and full enumeration."""

from __future__ import annotations

import inspect
from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses import slot_similarity, top_pairs


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kept(*rows: list[int]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Similarities with many ties, and which slots are kept: at least one of each."""
    batch, rows, columns = (draw(st.integers(1, 4)) for _ in range(3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    similarity = torch.randint(-3, 4, (batch, rows, columns), generator=generator) / 3
    keeps = []
    for slots in (rows, columns):
        keep = torch.rand(batch, slots, generator=generator) < 0.6
        keep[torch.arange(batch), torch.randint(slots, (batch,), generator=generator)] = True
        keeps.append(keep.float())
    return similarity, keeps[0], keeps[1]


def test_similarity_is_the_cosine_of_each_pair() -> None:
    teacher, joint = normal(2, 3, 5), normal(2, 4, 5, seed=1)
    ours = slot_similarity(teacher, joint)
    for b in range(2):
        for k in range(3):
            for m in range(4):
                dot = sum(float(x * y) for x, y in zip(teacher[b, k], joint[b, m], strict=True))
                lengths = [sum(float(x * x) for x in v) ** 0.5 for v in (teacher[b, k], joint[b, m])]
                assert ours[b, k, m].item() == pytest.approx(dot / (lengths[0] * lengths[1]), rel=1e-12)


def test_similarity_does_not_depend_on_lengths_and_a_slot_of_length_0_is_like_nothing() -> None:
    teacher, joint = normal(1, 2, 3), normal(1, 2, 3, seed=1)
    torch.testing.assert_close(slot_similarity(7 * teacher, joint / 9), slot_similarity(teacher, joint))
    teacher[0, 0] = 0
    teacher.requires_grad_()
    similarity = slot_similarity(teacher, joint)
    assert similarity[0, 0].tolist() == [0, 0]
    similarity.sum().backward()
    assert teacher.grad is not None
    assert teacher.grad.isfinite().all()


def test_similarity_gradients_and_precision() -> None:
    teacher, joint = normal(2, 2, 3).requires_grad_(), normal(2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(slot_similarity, (teacher, joint))
    assert slot_similarity(teacher.bfloat16(), joint.bfloat16()).dtype == torch.float32


def test_top_pairs_by_hand() -> None:
    similarity = torch.tensor([[[0.9, 0.8, 0.1], [0.7, 0.2, 0.0], [1.0, 1.0, 1.0]]])
    everything = kept([1, 1, 1])
    assert top_pairs(similarity, everything, everything).nonzero()[:, 1:].tolist() == [[2, 0], [2, 1], [2, 2]]
    two = kept([1, 1, 0])  # the row of ones is dropped, so two pairs are to be found in the others
    assert top_pairs(similarity, two, everything).nonzero()[:, 1:].tolist() == [[0, 0], [0, 1]]
    matched = top_pairs(similarity, two, everything, matching="one-to-one")
    assert matched.nonzero()[:, 1:].tolist() == [[0, 1], [1, 0]]


@given(problems())
def test_top_takes_as_many_as_teacher_slots_and_none_outside_is_better(
    problem: tuple[Tensor, Tensor, Tensor],
) -> None:
    similarity, keep_teacher, keep_joint = problem
    pairs = top_pairs(similarity, keep_teacher, keep_joint)
    for b in range(len(similarity)):
        entries = [
            (-similarity[b, k, m].item(), k, m)
            for k in range(similarity.shape[1])
            for m in range(similarity.shape[2])
            if keep_teacher[b, k] and keep_joint[b, m]
        ]
        expected = {(k, m) for _, k, m in sorted(entries)[: int(keep_teacher[b].sum())]}
        assert {(k, m) for k, m in pairs[b].nonzero().tolist()} == expected


@given(problems())
def test_one_to_one_is_the_best_of_all_matchings(problem: tuple[Tensor, Tensor, Tensor]) -> None:
    similarity, keep_teacher, keep_joint = problem
    pairs = top_pairs(similarity, keep_teacher, keep_joint, matching="one-to-one")
    for b in range(len(similarity)):
        rows, columns = keep_teacher[b].nonzero()[:, 0].tolist(), keep_joint[b].nonzero()[:, 0].tolist()
        number = min(len(rows), len(columns))
        chosen = pairs[b].nonzero().tolist()
        assert len(chosen) == number
        assert len({k for k, _ in chosen}) == len({m for _, m in chosen}) == number
        assert {k for k, _ in chosen} <= set(rows)
        assert {m for _, m in chosen} <= set(columns)
        totals = [
            sum(similarity[b, k, m].item() for k, m in zip(some, order, strict=True))
            for some in combinations(rows, number)
            for order in permutations(columns, number)
        ]
        assert similarity[b][pairs[b]].sum().item() == pytest.approx(max(totals), abs=1e-6)


@pytest.mark.parametrize("matching", ["top", "one-to-one"])
def test_only_one_slot_left_on_each_side_leaves_one_pair(matching: str) -> None:
    pairs = top_pairs(normal(1, 4, 5), kept([0, 0, 1, 0]), kept([0, 1, 0, 0, 0]), matching=matching)
    assert pairs.nonzero().tolist() == [[0, 2, 1]]


@pytest.mark.parametrize("matching", ["top", "one-to-one"])
def test_a_sample_without_slots_has_no_pairs(matching: str) -> None:
    pairs = top_pairs(normal(2, 2, 3), kept([0, 0], [1, 1]), kept([1, 1, 1], [0, 0, 0]), matching=matching)
    assert not pairs.any()


@pytest.mark.parametrize(("matching", "expected"), [("top", 3), ("one-to-one", 1)])
def test_fewer_joint_slots_than_teacher_slots(matching: str, expected: int) -> None:
    pairs = top_pairs(normal(1, 3, 4), kept([1, 1, 1]), kept([0, 1, 0, 0]), matching=matching)
    assert pairs.sum() == expected
    assert not pairs[..., [0, 2, 3]].any()


def test_of_equal_entries_the_earlier_is_taken() -> None:
    everything = torch.ones(40, 6)
    pairs = top_pairs(torch.zeros(40, 6, 6), everything, everything)
    assert pairs[:, 0].all()
    assert pairs.sum() == 40 * 6


@pytest.mark.parametrize("matching", ["top", "one-to-one"])
def test_similarities_that_are_not_numbers_still_give_pairs(matching: str) -> None:
    similarity = torch.full((1, 2, 2), torch.nan)
    assert top_pairs(similarity, torch.ones(1, 2), torch.ones(1, 2), matching=matching).sum() == 2


def test_an_unknown_matching_is_named() -> None:
    with pytest.raises(InputError, match="matching is 'best'; expected 'top' or 'one-to-one'"):
        inspect.unwrap(top_pairs)(normal(1, 2, 2), kept([1, 1]), kept([1, 1]), matching="best")
