from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unicode_cmg.codebook.usage import most_frequent
from unicode_cmg.inspect.codes.usage import UsageCounter, sharing_of


def test_kinds_by_hand() -> None:
    counts = {
        "audio": np.array([96, 95, 1, 0, 0, 0]),
        "video": np.array([4, 5, 19, 1, 0, 0]),
        "text": np.array([0, 0, 1, 0, 0, 9]),
    }
    raw = sharing_of(counts, raw=True)
    assert raw.kinds == ["single", "between", "between", "single", "unused", "single"]
    assert raw.parts[0].tolist() == [0.96, 0.04, 0]
    assert raw.parts[4].tolist() == [0, 0, 0]
    assert (raw.kinds.count("single"), raw.kinds.count("shared")) == (3, 0)
    assert sharing_of({"a": np.array([5]), "b": np.array([95])}, raw=True).kinds == ["shared"]
    assert sharing_of({"a": np.array([4]), "b": np.array([96])}, raw=True).kinds == ["single"]


def test_a_modality_with_more_steps_does_not_own_codes_for_that() -> None:
    counts = {"audio": np.array([100, 900]), "text": np.array([5, 5])}
    assert sharing_of(counts, raw=True).kinds == ["single", "single"]
    corrected = sharing_of(counts)
    assert corrected.kinds == ["shared", "shared"]
    np.testing.assert_allclose(corrected.parts[0], [0.1 / 0.6, 0.5 / 0.6])
    audio, video, text = [10, 96, 90, 0, 0, 4], [10, 2, 10, 0, 178, 0], [10, 2, 0, 0, 0, 188]
    even = sharing_of({m: np.array(n) for m, n in (("audio", audio), ("video", video), ("text", text))})
    assert even.kinds == ["shared", "single", "between", "unused", "single", "single"]
    np.testing.assert_allclose(even.parts[0], [1 / 3, 1 / 3, 1 / 3])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=6, max_size=6), min_size=1),
)
def test_the_most_frequent_code_is_the_smallest_of_equals(clips: list[list[tuple[int, bool]]]) -> None:
    codes = torch.tensor([[code for code, _ in clip] for clip in clips])
    mask = torch.tensor([[valid for _, valid in clip] for clip in clips])
    mask[:, 0] = True
    found = most_frequent(codes, mask).tolist()
    for row, code in enumerate(found):
        count = Counter(codes[row][mask[row]].tolist())
        assert code == min(count, key=lambda c: (-count[c], c))


def test_the_steps_of_the_longer_modality_are_compared_with_the_main_code_of_the_shorter() -> None:
    usage = UsageCounter(["a", "b"], torch.eye(3))
    usage.add(
        {"a": torch.tensor([[0, 0, 1]]), "b": torch.tensor([[0, 2]])},
        {"a": torch.ones(1, 3, dtype=torch.bool), "b": torch.ones(1, 2, dtype=torch.bool)},
    )
    (pair,) = usage.agreement()
    assert (pair.steps, pair.steps_expected) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (pair.clips, pair.clips_expected) == (1.0, 1.0)


def test_seconds_are_compared_with_the_main_code_of_the_words_of_their_clip() -> None:
    usage = UsageCounter(["a", "text"], torch.eye(4), ["text"])
    every = torch.ones(3, 3, dtype=torch.bool)
    masks = {"a": every.clone(), "text": every.clone()}
    masks["text"][0, 2] = False  # not a word: its code does not count
    masks["a"][1, 0] = False
    masks["text"][2] = False  # a clip without words is not compared
    codes = {
        "a": torch.tensor([[1, 1, 0], [0, 0, 2], [3, 3, 3]]),
        "text": torch.tensor([[0, 1, 0], [2, 2, 0], [3, 3, 3]]),
    }
    usage.add(codes, masks)
    (pair,) = usage.agreement()
    # the words of the first clip have codes 0 and 1, of which 0 counts; those of the second have code 2
    assert pair.steps == pytest.approx(2 / 5)
    assert usage.add({m: x[2:] for m, x in codes.items()}, {m: x[2:] for m, x in masks.items()}) is None
    assert usage.agreement()[0].steps == pair.steps


def test_steps_count_where_both_are_valid() -> None:
    usage = UsageCounter(["a", "b"], torch.eye(3))
    masks = {"a": torch.tensor([[True, True, False]]), "b": torch.tensor([[True, False, True]])}
    usage.add({"a": torch.tensor([[1, 0, 0]]), "b": torch.tensor([[1, 0, 0]])}, masks)
    usage.add({"a": torch.tensor([[2, 0, 0]]), "b": torch.tensor([[1, 0, 0]])}, masks)
    (pair,) = usage.agreement()
    assert (pair.steps, pair.steps_expected) == (0.5, 0.5)
    assert {m: n.tolist() for m, n in usage.counts().items()} == {"a": [2, 1, 1], "b": [2, 2, 0]}


def test_a_collapsed_codebook_is_expected_to_agree() -> None:
    usage = UsageCounter(["a", "b"], torch.eye(4))
    codes = torch.full((5, 2), 3)
    for _ in range(2):
        usage.add({"a": codes, "b": codes}, dict.fromkeys("ab", torch.ones(5, 2, dtype=torch.bool)))
    (pair,) = usage.agreement()
    assert (pair.steps, pair.steps_expected, pair.clips, pair.clips_expected) == (1, 1, 1, 1)
