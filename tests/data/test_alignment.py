from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicode_cmg.data import align
from unicode_cmg.errors import InputError


def slow_align(values: np.ndarray, spans: list[tuple[float, float]], end: float, steps: int) -> np.ndarray:
    """From the definition, with loops: each new step is the mean of old ones, weighted by their overlap."""
    result = np.zeros((steps, *values.shape[1:]))
    for new in range(steps):
        low, high, total = new * end / steps, (new + 1) * end / steps, 0.0
        for value, (start, stop) in zip(values, spans, strict=True):
            overlap = max(0.0, min(high, stop) - max(low, start))
            if overlap > 1e-9 * end:
                result[new] += overlap * value
                total += overlap
        result[new] = result[new] / total if total else 0
    return result


@given(length=st.integers(1, 12), steps=st.integers(1, 12))
def test_by_share_of_the_clip_it_is_the_mean_weighted_by_overlap(length: int, steps: int) -> None:
    values = np.random.default_rng(length * 13 + steps).standard_normal((length, 2, 3))
    aligned = align(values, steps)
    spans = [(i / length, (i + 1) / length) for i in range(length)]
    np.testing.assert_allclose(aligned.values, slow_align(values, spans, 1.0, steps), atol=1e-12)
    assert aligned.mask.all()
    np.testing.assert_allclose(aligned.values.mean(axis=0), values.mean(axis=0))  # nothing is lost


@given(st.lists(st.floats(0.1, 3), min_size=1, max_size=6), st.floats(0, 4), st.integers(1, 9))
def test_by_times_it_is_the_mean_weighted_by_overlap(lengths: list[float], gap: float, steps: int) -> None:
    starts = gap + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    spans = np.stack([starts, starts + lengths], axis=1)
    values = np.arange(len(lengths), dtype=np.float64)[:, None]
    end = float(spans.max()) + 1
    aligned = align(values, steps, times=spans, duration=end)
    np.testing.assert_allclose(
        aligned.values, slow_align(values, [tuple(s) for s in spans.tolist()], end, steps), atol=1e-6
    )
    assert not aligned.values[~aligned.mask].any()


def test_an_image_is_repeated_and_equal_steps_are_unchanged() -> None:
    image = np.ones((1, 4), np.float16)
    assert align(image, 10).values.shape == (10, 4)
    assert align(image, 10).values.dtype == np.float16
    values = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float16)
    np.testing.assert_array_equal(align(values, 10).values, values)


def test_starts_last_until_the_next_one_and_gaps_are_masked() -> None:
    aligned = align(np.array([[1.0], [2.0]]), 4, times=[1, 2], duration=4)
    assert aligned.values.ravel().tolist() == [0, 1, 2, 0]
    assert aligned.mask.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("values", "steps", "times", "message"),
    [
        (np.ones((0, 3)), 4, None, r"features \[0, 3\]"),
        (np.ones(3), 4, None, r"features \[3\]"),
        (np.ones((2, 3)), 0, None, "steps is 0"),
        (np.ones((2, 3)), 4, [1.0], r"times \[1\]; expected \[2\] starts"),
        (np.ones((2, 3)), 4, [2.0, 1.0], "do not ascend"),
        (np.ones((2, 3)), 4, [0.0, np.nan], "do not ascend"),
    ],
)
def test_what_cannot_be_aligned_is_one_clear_line(
    values: np.ndarray, steps: int, times: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        align(values, steps, times=times)
