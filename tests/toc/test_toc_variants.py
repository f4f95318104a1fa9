from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from places import GOLDEN

from toc import VARIANTS, CodebookError, TOCSelection, TOCSelector, best_and_worst_dims, optimize, toc_scores

TOC_GOLDEN = GOLDEN / "toc_public.npz"
# (variant, script that computes it, best, worst)
SCRIPTS = [
    ("released", "ave_fc", 1, 0),
    ("released", "hdcid_ave", 1, 0),
    ("released-similarity", "avvp_fc", 1, 0),
    ("released-1:1", "hdcid_ave", 1, 1),
    ("released-3:1", "hdcid_ave", 3, 1),
]


@pytest.mark.parametrize("kind", ["unnormalised", "l2normalised"])
@pytest.mark.parametrize(("variant", "script", "best", "worst"), SCRIPTS)
def test_every_released_variant_keeps_the_dimensions_its_script_keeps(
    kind: str, variant: str, script: str, best: int, worst: int
) -> None:
    golden = np.load(TOC_GOLDEN)
    codes = golden[f"{kind}/in/codebook"]
    sizes = [size for size, *ratio in golden["meta/choose_max_min"].tolist() if ratio == [best, worst]]
    assert sizes
    for size in sizes:
        released = golden[f"{kind}/{script}/published/indices_choose{size}_max{best}_min{worst}"].tolist()
        selection = optimize(codes, size, **VARIANTS[variant])
        assert list(selection.indices) == released
        selector = TOCSelector(size, **VARIANTS[variant]).fit(codes)
        assert selector.indices_.tolist() == released


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_record_names_its_variant_and_keeps_it_on_disk(variant: str, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).normal(size=(20, 8))
    selection = optimize(codes, 4, **VARIANTS[variant])
    selection.save(tmp_path)
    for record in (selection, TOCSelection.load(tmp_path)):
        assert record.variant == variant
        assert record.ratio == VARIANTS[variant].get("ratio", "1:0")
    assert selection.to_json()["variant"] == variant


def test_a_variant_that_does_not_fix_lam_leaves_it_free() -> None:
    codes = np.random.default_rng(0).normal(size=(20, 8))
    assert optimize(codes, lam=0.9).variant == "corrected"
    assert optimize(codes, lam=0.9, center=False).variant == "paper"
    assert optimize(codes, lam=0.9, **VARIANTS["released"]).variant == "released"
    assert optimize(codes, lam=0.0).variant == "corrected"
    assert optimize(codes, ratio="3:1").variant == "custom"
    assert optimize(codes, ddof=1).variant == "custom"


def test_dropping_the_variance_ranks_by_similarity_alone() -> None:
    codes = np.random.default_rng(0).normal(size=(20, 8))
    scores = toc_scores(codes, **VARIANTS["released-similarity"])
    np.testing.assert_array_equal(scores.score, -scores.similarity)


def test_the_worst_of_tied_dimensions_are_not_the_best_of_them() -> None:
    assert best_and_worst_dims(np.zeros(4), 4, 1, 1).tolist() == [0, 1, 3, 2]


def test_a_fraction_is_divided_by_the_ratio_too() -> None:
    codes = np.random.default_rng(0).normal(size=(20, 10))
    assert len(optimize(codes, 0.5, ratio="3:1").indices) == 4


@pytest.mark.parametrize("ratio", ["", "3", "3:1:1", "-3:1", "0:0", "a:b", "1.5:1", " 3:1"])
def test_a_wrong_ratio_is_refused(ratio: str) -> None:
    with pytest.raises(CodebookError, match="ratio"):
        optimize(np.eye(4), 2, ratio=ratio)
