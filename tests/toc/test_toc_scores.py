from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from places import GOLDEN

import toc.arrays
from toc import VARIANTS, CodebookError, best_and_worst_dims, best_dims, toc_scores

TOC_GOLDEN = GOLDEN / "toc_public.npz"


def codebook(codes: int = 12, dim: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.4, 1.0, (codes, dim))


def by_the_equations(
    codes: np.ndarray, lam: float, normalize: bool, divisor: str, ddof: int
) -> list[np.ndarray]:
    """FCID paper, equations 7 to 9, one pair of codes at a time."""
    count, dim = codes.shape
    if normalize:
        codes = np.stack([code / np.sqrt((code**2).sum()) for code in codes])
    similarity, variance = np.zeros(dim), np.zeros(dim)
    for k in range(dim):
        for i in range(count):
            for j in range(count):
                if i != j:
                    similarity[k] += codes[i, k] * codes[j, k]
        similarity[k] /= count**2 if divisor == "H^2" else count * (count - 1)
        mean = sum(codes[i, k] for i in range(count)) / count
        variance[k] = sum((codes[i, k] - mean) ** 2 for i in range(count)) / (count - ddof)
    return [similarity, variance, lam * variance - (1 - lam) * similarity]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("divisor", ["H^2", "H(H-1)"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_scores_equal_the_double_loop_over_pairs(normalize: bool, divisor: str, ddof: int) -> None:
    codes = codebook()
    scores = toc_scores(codes, 0.3, normalize, divisor=divisor, ddof=ddof)
    expected = by_the_equations(codes, 0.3, normalize, divisor, ddof)
    for ours, theirs in zip((scores.similarity, scores.variance, scores.score), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_case_by_hand() -> None:
    # Unit codes (1, 0), (1, 0), (0, 1): in dimension 0 only the pair of the first two adds 1, twice.
    scores = toc_scores([[2.0, 0.0], [3.0, 0.0], [0.0, 5.0]], lam=0.5)
    np.testing.assert_allclose(scores.similarity, [2 / 9, 0], atol=1e-15)
    np.testing.assert_allclose(scores.variance, [2 / 9, 2 / 9], atol=1e-15)
    np.testing.assert_allclose(scores.score, [0, 1 / 9], atol=1e-15)


def test_the_toc_papers_criterion_is_the_same_ranking_turned_round() -> None:
    codes, lam = codebook(), 0.3
    scores = toc_scores(codes, lam)
    theirs = (1 - lam) * scores.similarity - (1 - (1 - lam)) * scores.variance
    assert np.argsort(theirs).tolist() == best_dims(scores.score, 1.0).tolist()


@pytest.mark.parametrize("kind", ["unnormalised", "l2normalised"])
@pytest.mark.parametrize("script", ["ave_fc", "hdcid_ave", "avvp_fc"])
def test_the_released_variant_gives_the_released_numbers(kind: str, script: str) -> None:
    golden = np.load(TOC_GOLDEN)
    exact = f"{kind}/{script}/float64acc"
    by_similarity_alone = script == "avvp_fc"
    scores = toc_scores(
        golden[f"{kind}/in/codebook"], 0.0 if by_similarity_alone else 0.3, **VARIANTS["released"]
    )
    np.testing.assert_allclose(scores.similarity, golden[f"{exact}/similarity"], rtol=0, atol=1e-12)
    if by_similarity_alone:  # the script keeps the factor 0.7
        np.testing.assert_allclose(0.7 * scores.score, golden[f"{exact}/criterion"], rtol=0, atol=1e-12)
    else:
        np.testing.assert_allclose(scores.variance, golden[f"{exact}/variance"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(scores.score, golden[f"{exact}/criterion"], rtol=0, atol=1e-12)
    # as released, in float32
    np.testing.assert_allclose(scores.similarity, golden[f"{kind}/{script}/published/similarity"], atol=1e-6)


@pytest.mark.parametrize("kind", ["unnormalised", "l2normalised"])
@pytest.mark.parametrize("script", ["ave_fc", "hdcid_ave", "avvp_fc"])
def test_the_released_variant_keeps_the_released_dimensions(kind: str, script: str) -> None:
    golden = np.load(TOC_GOLDEN)
    lam = 0.0 if script == "avvp_fc" else 0.3
    score = toc_scores(golden[f"{kind}/in/codebook"], lam, **VARIANTS["released"]).score
    for choose, best, worst in golden["meta/choose_max_min"].tolist():
        for run in ("published", "float64acc"):
            released = golden[f"{kind}/{script}/{run}/indices_choose{choose}_max{best}_min{worst}"]
            assert best_and_worst_dims(score, choose, best, worst).tolist() == released.tolist()
        if worst == 0:
            assert best_dims(score, choose).tolist() == released.tolist()


@given(
    seed=st.integers(0, 2**32 - 1), codes=st.integers(2, 40), dim=st.integers(1, 12), normalize=st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_codes_does_not_matter(seed: int, codes: int, dim: int, normalize: bool) -> None:
    book = codebook(codes, dim, seed)
    shuffled = np.random.default_rng(seed).permutation(book)
    np.testing.assert_allclose(
        toc_scores(book, 0.3, normalize).score, toc_scores(shuffled, 0.3, normalize).score, atol=1e-12
    )


@given(seed=st.integers(0, 2**32 - 1), codes=st.integers(2, 200), rows=st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_blocks_do_not_change_the_scores(seed: int, codes: int, rows: int) -> None:
    book = codebook(codes, 5, seed)
    whole = toc_scores(book)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toc.arrays, "_BLOCK_VALUES", rows * 5)
        blocked = toc_scores(book)
    np.testing.assert_allclose(blocked.similarity, whole.similarity, rtol=0, atol=1e-13)
    np.testing.assert_allclose(blocked.variance, whole.variance, rtol=0, atol=1e-13)


def objective(codes: np.ndarray, subset: list[int], lam: float) -> float:
    """What a subset minimises, from FCID paper, equations 5, 6 and 8: no sum over dimensions is assumed.

    Codes have unit length in all dimensions, so the cosine similarity of equation 5 is a dot product (6).
    """
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    kept = np.where(np.isin(np.arange(codes.shape[1]), subset), unit, 0)
    products = kept @ kept.T
    similarity = (products.sum() - np.trace(products)) / len(codes) ** 2
    return float((1 - lam) * similarity - lam * kept.var(axis=0).sum())


@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(1, 7), lam=st.floats(0, 1), data=st.data())
@example(seed=0, dim=6, lam=0.0, data=None)  # similarity alone, equation 7
@example(seed=0, dim=6, lam=1.0, data=None)  # variance alone
@settings(max_examples=30, deadline=None)
def test_the_kept_dimensions_beat_every_other_subset(
    seed: int, dim: int, lam: float, data: st.DataObject | None
) -> None:
    keep = data.draw(st.integers(1, dim)) if data else 3
    codes = codebook(9, dim, seed)
    kept = best_dims(toc_scores(codes, lam).score, keep).tolist()
    least = min(objective(codes, list(subset), lam) for subset in combinations(range(dim), keep))
    assert objective(codes, kept, lam) == pytest.approx(least, abs=1e-12)


def test_a_large_common_offset_does_not_eat_the_variance() -> None:
    codes = codebook(300, 4)
    scores = toc_scores(codes + 1e6, normalize=False)
    np.testing.assert_allclose(scores.variance, codes.var(axis=0), rtol=1e-8)


def test_float16_codebooks_are_accumulated_in_float64() -> None:
    codes = np.full((5000, 2), 8.0, np.float16)  # sums leave float16's range
    np.testing.assert_allclose(toc_scores(codes, normalize=False, divisor="H(H-1)").similarity, 64)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_neither_dtype_nor_memory_layout_matters(dtype: str | type, normalize: bool, tmp_path: Path) -> None:
    codes = codebook(3000, 50).astype(dtype)
    expected = toc_scores(codes.astype(np.float64), normalize=normalize).score
    np.save(tmp_path / "codes.npy", codes)
    np.save(tmp_path / "columns.npy", np.asfortranarray(codes))
    same = {
        "array": codes,
        "Fortran order": np.asfortranarray(codes),
        "every second row": np.repeat(codes, 2, axis=0)[::2],
        "backwards": codes[::-1, ::-1][::-1, ::-1],
        "memory map": np.load(tmp_path / "codes.npy", mmap_mode="r"),
        "memory map of columns": np.load(tmp_path / "columns.npy", mmap_mode="r"),
    }
    for layout, array in same.items():
        score = toc_scores(array, normalize=normalize).score
        np.testing.assert_allclose(score, expected, rtol=1e-12, atol=1e-15, err_msg=layout)


@pytest.mark.parametrize("order", ["C", "F"])
def test_extra_memory_does_not_grow_with_the_codebook(order: Literal["C", "F"], tmp_path: Path) -> None:
    def peak(codes: int) -> int:
        np.save(tmp_path / "codes.npy", np.ones((codes, 64), np.float32, order))
        book = np.load(tmp_path / "codes.npy", mmap_mode="r")
        tracemalloc.start()
        toc_scores(book)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(40_000) < 1.1 * peak(10_000)
    assert peak(40_000) < 4 << 20  # the codebook takes ten MiB


def test_the_closed_form_is_a_thousand_times_faster_than_the_loop_over_pairs() -> None:
    codes, rows = torch.from_numpy(codebook(400, 256)), 4

    def loop() -> None:
        total = torch.zeros(256)
        for i in range(rows):
            for j in range(400):
                if i != j:
                    total += codes[i] * codes[j]

    def seconds(work: Callable[[], object], repeats: int) -> float:
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return min(times)

    assert seconds(loop, 3) * 400 / rows > 1000 * seconds(lambda: toc_scores(codes.numpy()), 30)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.ones(4), "shape"),
        (np.ones((2, 3, 4)), "shape"),
        (np.ones((1, 4)), "at least 2 codes"),
        (np.ones((0, 4)), "at least 2 codes"),
        (np.ones((4, 0)), "at least 1 dimension"),
        (np.arange(12).reshape(3, 4), "code indices"),
        (np.array([["a", "b"], ["c", "d"]]), "dtype"),
        (np.array([[1.0, None], [2.0, 3.0]], dtype=object), "dtype object"),
        (np.array([[1 + 1j, 2], [3, 4]]), "dtype complex128"),
        ([[1.0, 2.0], [3.0]], "array"),
        (np.array([[1.0, 2.0], [np.nan, 3.0]]), "code 1 .*NaN"),
        (np.array([[1.0, 2.0], [3.0, 4.0], [np.inf, 3.0]]), "code 2 .*infinity"),
        (np.array([[1.0, 2.0], [0.0, 0.0]]), "code 1 is zero"),
        (np.array([[1.0, 2.0], [1e200, 0.0]]), "code 1 .*too large"),
    ],
)
def test_a_wrong_codebook_is_refused_in_one_line(codes: object, message: str) -> None:
    with pytest.raises(CodebookError, match=message) as error:
        toc_scores(codes)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_wrong_code_is_named_by_its_place_in_the_whole_codebook() -> None:
    codes = np.ones((5000, 64))
    codes[4321, 7] = np.nan
    with pytest.raises(CodebookError, match="code 4321"):
        toc_scores(codes)


def test_zero_codes_are_fine_without_normalisation() -> None:
    assert np.isfinite(toc_scores([[1.0, 2.0], [0.0, 0.0]], normalize=False).score).all()


@pytest.mark.parametrize("options", [{"lam": 1.5}, {"lam": float("nan")}, {"divisor": "H"}, {"ddof": 2}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(CodebookError):
        toc_scores(codebook(), **options)  # type: ignore[arg-type]
