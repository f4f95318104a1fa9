from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toc.requantizing
from toc import CodebookError, optimize, requantize


def by_the_loop(vectors: np.ndarray, codes: np.ndarray, dims: list[int]) -> list[int]:
    nearest = []
    for vector in vectors.astype(np.float64)[:, dims]:
        distances = [float(((vector - code) ** 2).sum()) for code in codes.astype(np.float64)[:, dims]]
        nearest.append(distances.index(min(distances)))
    return nearest


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(2, 30), st.integers(1, 30), st.integers(1, 8)),
    rows=st.integers(1, 7),
    offset=st.sampled_from([0.0, 1e6]),
    grid=st.booleans(),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_codes_are_those_of_the_loop_ties_included(
    seed: int, sizes: tuple[int, int, int], rows: int, offset: float, grid: bool, data: st.DataObject
) -> None:
    count, many, dim = sizes
    rng = np.random.default_rng(seed)
    codes, vectors = rng.normal(offset, 1, (count, dim)), rng.normal(offset, 1, (many, dim))
    if grid:  # few distances, many of them equal
        codes, vectors = codes.round(), vectors.round()
    dims = data.draw(st.lists(st.integers(0, dim - 1), min_size=1, unique=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toc.requantizing, "_BLOCK_ROWS", rows)
        found = requantize(vectors, codes, dims)
    assert found.tolist() == by_the_loop(vectors, codes, dims)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_precision_gives_the_loops_codes(dtype: type) -> None:
    rng = np.random.default_rng(0)
    codes, vectors = rng.normal(size=(50, 16)).astype(dtype), rng.normal(size=(300, 16)).astype(dtype)
    dims = [3, 1, 8, 15]
    assert requantize(vectors, codes, dims).tolist() == by_the_loop(vectors, codes, dims)


def test_a_large_common_offset_does_not_hide_the_nearest_code() -> None:
    rng = np.random.default_rng(0)
    codes, vectors = 1e8 + rng.normal(size=(50, 16)), 1e8 + rng.normal(size=(100, 16))
    assert requantize(vectors, codes, [3, 1, 8, 15]).tolist() == by_the_loop(vectors, codes, [3, 1, 8, 15])


def test_codes_that_differ_in_dropped_dimensions_alone_tie_exactly() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(200, 6)).astype(np.float32)
    codes[100:, :3] = codes[:100, :3]
    found = requantize(rng.normal(size=(500, 6)).astype(np.float32), codes, [0, 1, 2])
    assert found.max() < 100


def test_dropped_dimensions_have_no_say() -> None:
    rng = np.random.default_rng(0)
    codes, vectors = rng.normal(size=(40, 10)), rng.normal(size=(60, 10))
    selection = optimize(codes, 4)
    before = requantize(vectors, codes, selection)
    vectors[:, ~selection.mask] = 1e3
    np.testing.assert_array_equal(requantize(vectors, codes, selection), before)
    assert (before != requantize(vectors, codes, range(10))).any()


def test_all_dimensions_quantize_as_usual_and_a_code_is_its_own_nearest() -> None:
    codes = np.random.default_rng(0).normal(size=(40, 10))
    assert requantize(codes, codes, optimize(codes, 1.0)).tolist() == list(range(40))


@pytest.mark.parametrize("shape", [(10,), (7, 10), (2, 3, 10), (0, 10), (2, 0, 3, 10)])
def test_leading_axes_stay(shape: tuple[int, ...]) -> None:
    codes = np.random.default_rng(0).normal(size=(40, 10))
    vectors = np.random.default_rng(1).normal(size=shape)
    found = requantize(vectors, codes, [2, 4])
    assert found.shape == shape[:-1]
    assert found.dtype == np.int64
    assert found.ravel().tolist() == by_the_loop(vectors.reshape(-1, 10), codes, [2, 4])


def test_extra_memory_does_not_grow_with_vectors_or_codes() -> None:
    def peak(vectors: int, codes: int) -> int:
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(vectors, 16)), rng.normal(size=(codes, 16))
        tracemalloc.start()
        requantize(*inputs, range(8))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most - 8 * vectors

    assert peak(3000, 6000) < 1.1 * peak(1500, 2000)


def test_another_codebooks_selection_is_refused() -> None:
    codes = np.random.default_rng(0).normal(size=(40, 10))
    with pytest.raises(CodebookError, match="another codebook"):
        requantize(codes, codes + 1, optimize(codes))


@pytest.mark.parametrize(
    ("vectors", "kept", "message"),
    [
        (np.ones((2, 3)), [0], "4 dimensions"),
        (np.ones(()), [0], "shape"),
        (np.arange(8).reshape(2, 4), [0], "int64"),
        (np.ones((2, 4), dtype=object), [0], "object"),
        (np.array([[1.0, 2, 3, 4], [1, 2, np.nan, 4]]), [2], "vector 1 .*NaN"),
        (np.array([[1.0, 2, 3, 4], [1, 2, 1e200, 4]]), [2], "vector 1 .*too large"),
        (np.ones((2, 4)), [], "list of indices"),
        (np.ones((2, 4)), [[0, 1]], "list of indices"),
        (np.ones((2, 4)), [0.5], "list of indices"),
        (np.ones((2, 4)), [True, False, True, False], "list of indices"),
        (np.ones((2, 4)), [0, 4], "between 0 and 3"),
        (np.ones((2, 4)), [-1], "between 0 and 3"),
        (np.ones((2, 4)), [1, 1], "twice"),
    ],
)
def test_wrong_input_is_refused_in_one_line(vectors: np.ndarray, kept: object, message: str) -> None:
    with pytest.raises(CodebookError, match=message) as error:
        requantize(vectors, np.ones((3, 4)), kept)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_wrong_code_is_named() -> None:
    codes = np.ones((3, 4))
    codes[1, 2] = np.inf
    with pytest.raises(CodebookError, match=r"code 1 .*infinity"):
        requantize(np.ones((2, 4)), codes, [2])
