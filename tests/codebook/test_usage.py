"""Statistics of how codes are used."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unicode_cmg.codebook import (
    agreement,
    clip_agreement,
    code_counts,
    perplexity,
    usage_statistics,
)
from unicode_cmg.errors import InputError


def indices(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows)


def test_counts_leave_padding_out() -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert code_counts(indices([0, 2, 3], [2, 1, 1]), 5, mask).tolist() == [1, 0, 2, 0, 0]
    assert code_counts(indices([0, 2, 3], [2, 1, 1]), 5).tolist() == [1, 2, 2, 1, 0]


def test_perplexity_of_one_code_is_one_and_of_an_even_spread_the_number_of_codes() -> None:
    assert perplexity(indices([3, 3, 3]), 8) == 1
    torch.testing.assert_close(perplexity(indices([0, 1, 2, 3]), 8), torch.tensor(4.0).double())
    assert perplexity(indices([0, 1]), 8, torch.zeros(1, 2, dtype=torch.bool)) == 1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_perplexity_is_the_exponential_of_the_entropy(codes: list[int]) -> None:
    shares = [n / len(codes) for n in Counter(codes).values()]
    expected = math.exp(-sum(p * math.log(p) for p in shares))
    assert perplexity(torch.tensor(codes), 7).item() == pytest.approx(expected, rel=1e-12)


def test_agreement_counts_the_steps_valid_in_both() -> None:
    codes = {"a": indices([1, 2, 3, 4]), "b": indices([1, 0, 3, 4]), "c": indices([0, 0, 0, 0])}
    masks = {"b": torch.tensor([[True, True, True, False]]), "c": torch.zeros(1, 4, dtype=torch.bool)}
    result = {pair: value.item() for pair, value in agreement(codes, masks).items()}
    assert result.pop(("a", "b")) == pytest.approx(2 / 3)
    assert list(result) == [("a", "c"), ("b", "c")]  # they share no step
    assert all(math.isnan(value) for value in result.values())
    with pytest.raises(InputError, match="differ in shape"):
        agreement({"a": indices([1, 2]), "b": indices([1])})


def test_clips_agree_when_their_most_frequent_codes_are_the_same() -> None:
    a = indices([1, 1, 2], [5, 4, 5], [3, 0, 0])
    b = indices([2, 1, 1], [4, 4, 5], [0, 3, 3])
    assert clip_agreement({"a": a, "b": b}) == 1
    assert clip_agreement({"a": indices([2, 1]), "b": indices([1, 1])}) == 1  # a tie goes to the smaller code
    masks = {"a": torch.tensor([[False, True, True], [True] * 3, [True, False, False]])}
    masks["b"] = torch.tensor([[True, False, False], [False, False, True], [False] * 3])
    assert clip_agreement({"a": a, "b": b}, masks) == 1


@given(st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_clip_agreement_is_that_of_a_slow_count(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    codes = {m: torch.randint(0, 4, (6, 5), generator=g) for m in "ab"}
    masks = {m: torch.rand(6, 5, generator=g) < 0.6 for m in "ab"}
    expected = 0
    for clip in range(6):
        best = set()
        for m in "ab":
            counted = Counter(codes[m][clip][masks[m][clip]].tolist())
            top = max(counted.values(), default=0)
            best.add(min((code for code, n in counted.items() if n == top), default=None))
        expected += len(best) == 1 and None not in best
    assert clip_agreement(codes, masks) == expected


def test_statistics_are_plain_floats_under_their_keys() -> None:
    codes = {"audio": indices([0, 1]), "video": indices([0, 2])}
    statistics = usage_statistics(codes, 4)
    assert statistics == {
        "perplexity/audio": 2.0,
        "perplexity/video": 2.0,
        "active": 3.0,
        "shared": 1.0,
        "agreement/audio-video": 0.5,
    }
    assert all(type(value) is float for value in statistics.values())
    uneven = usage_statistics({"audio": indices([0, 1]), "video": indices([0])}, 4)
    assert "agreement/audio-video" not in uneven
