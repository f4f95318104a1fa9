"""Places in a ranking with ties, against every order the tied candidates can be in."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.evaluation.ranking import Ranking, pooled, rank


def every_order(scores: list[int], right: list[bool]) -> list[int]:
    """The best place of a right answer, from 1, in each order that keeps higher scores first."""
    candidates = range(len(scores))
    orders = [
        order for order in permutations(candidates) if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    return [1 + min(place for place, c in enumerate(order) if right[c]) for order in orders]


def ranked(scores: Tensor, queries: Tensor, candidates: Tensor) -> Ranking:
    return rank(lambda some: scores[some], queries, candidates)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.data())
def test_places_are_the_mean_over_every_order_of_the_tied(scores: list[int], data: st.DataObject) -> None:
    right = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any))
    places = every_order(scores, right)
    found = ranked(torch.tensor([scores]).double(), torch.tensor([1]), torch.tensor(right).long())
    assert found.expected().item() == pytest.approx(float(Fraction(sum(places), len(places))), abs=1e-12)
    for k in range(1, len(scores) + 2):
        share = Fraction(sum(place <= k for place in places), len(places))
        assert found.within(k).item() == pytest.approx(float(share), abs=1e-12)


def test_an_item_counts_by_the_best_of_its_captions() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.5, 0.5, 0.5, 0.2]])
    found = ranked(scores, torch.tensor([7]), torch.tensor([0, 7, 7, 7, 0, 0]))
    # one candidate is better; of three that are equal two are right
    assert (found.above.item(), found.tied.item(), found.right.item()) == (1, 3, 2)
    assert [found.within(k).item() for k in (1, 2, 3)] == pytest.approx([0, 2 / 3, 1])
    assert found.expected().item() == pytest.approx(1 + 4 / 3)


def test_ten_equal_captions_of_which_one_is_right_are_a_lottery() -> None:
    found = ranked(torch.zeros(1, 10), torch.tensor([3]), torch.arange(10))
    assert [found.within(k).item() for k in (1, 5, 10)] == pytest.approx([0.1, 0.5, 1])
    assert found.expected().item() == 5.5


def test_queries_are_compared_in_parts_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(0)
    scores = torch.randint(4, (11, 7), generator=g).double()
    queries, candidates = torch.randint(3, (11,), generator=g), torch.arange(7) % 3
    whole = ranked(scores, queries, candidates)
    monkeypatch.setattr("benchmarks.evaluation.ranking._SCORES_AT_ONCE", 20)
    parts = ranked(scores, queries, candidates)
    for name in ("above", "tied", "right"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


def test_a_blind_ranking_is_all_candidates_tied() -> None:
    right = torch.tensor([1, 5, 2])
    blind = Ranking.blind(right, 20)
    scores, candidates = torch.zeros(3, 20), torch.tensor([0] + 5 * [1] + 2 * [2] + 12 * [9])
    found = ranked(scores, torch.arange(3), candidates)
    torch.testing.assert_close(blind.expected(), found.expected())
    torch.testing.assert_close(blind.within(4), found.within(4))


def rows(*codes: list[int], time: int = 6) -> tuple[Tensor, Tensor]:
    """Indices `[rows, time, 1]` and mask of some code sequences; what is not real is code 0."""
    indices = torch.tensor([c + [0] * (time - len(c)) for c in codes])[..., None]
    return indices, torch.arange(time) < torch.tensor([len(c) for c in codes])[:, None]


def test_rows_are_the_mean_of_the_codewords_of_their_real_steps() -> None:
    table = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    indices, mask = rows([1, 2, 2], [3], [1, 1, 3, 2])
    vectors, which = pooled((table,), indices, mask)
    for row, codes in enumerate(([1, 2, 2], [3], [1, 1, 3, 2])):
        mean = table[codes].double().mean(dim=0)
        torch.testing.assert_close(vectors[which[row]], mean / mean.norm())


def test_the_same_codes_in_the_same_proportions_are_the_very_same_vector() -> None:
    table = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    indices, mask = rows([1, 2], [2, 1, 1, 2], [2, 1, 2, 1, 1, 2], [1, 1, 2], [3], [3, 3, 3])
    vectors, which = pooled((table,), indices, mask)
    assert which[0] == which[1] == which[2] != which[3]
    assert which[4] == which[5]
    assert len(vectors) == 3


def test_layers_are_averaged_on_their_own_and_put_side_by_side() -> None:
    g = torch.Generator().manual_seed(2)
    tables = torch.randn(3, 4, generator=g), torch.randn(5, 2, generator=g)
    first, mask = rows([0, 1, 1], [2])
    second, _ = rows([4, 4, 0], [3])
    vectors, which = pooled(tables, torch.cat([first, second], dim=-1), mask)
    mean = torch.cat([tables[0][[0, 1, 1]].mean(dim=0), tables[1][[4, 4, 0]].mean(dim=0)]).double()
    torch.testing.assert_close(vectors[which[0]], mean / mean.norm(), rtol=1e-6, atol=1e-6)


def test_ties_of_equal_codes_are_not_broken_by_rounding() -> None:
    """Forty rows of the same two codes in any order and number: all of them are tied, or none."""
    rng = np.random.default_rng(0)
    table = torch.tensor(rng.normal(size=(2, 64)), dtype=torch.float32)
    sequences = [rng.permutation([0, 1] * int(rng.integers(1, 4))).tolist() for _ in range(40)]
    vectors, which = pooled((table,), *rows(*sequences))
    scores = (vectors @ vectors.T)[which][:, which]
    found = ranked(scores, torch.arange(40), torch.arange(40))
    assert (found.tied == 40).all()
