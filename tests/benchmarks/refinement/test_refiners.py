"""Each refiner finds the dimensions it is meant to find, and refuses what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluation.heads import LabelledCodes
from benchmarks.refinement import CodeLayer, Refiner, parse_refiners
from benchmarks.refinement.views import KeptDims, Merged, Projected, Requantized
from toc import VARIANTS, merge_codes, optimize
from unicode_cmg.errors import InputError

DIM, CODES, CLASSES = 10, 30, 3


def refiner(**values: Any) -> Refiner:
    return parse_refiners({"x": values})["x"]


def material(seed: int = 0, *, steps: bool = False) -> CodeLayer:
    """Codes whose dimensions 2 and 7 tell three classes apart; the others are larger and say nothing."""
    rng = np.random.default_rng(seed)
    classes = np.arange(CODES) % CLASSES
    codes = 1.5 * rng.normal(size=(CODES, DIM))
    codes[:, 2] = np.array([-1, 0, 1])[classes] + 0.05 * rng.normal(size=CODES)
    codes[:, 7] = np.array([1, -1, 1])[classes] + 0.05 * rng.normal(size=CODES)
    table = torch.tensor(codes, dtype=torch.float32)
    truth = (
        rng.integers(0, CLASSES, (200, 4)) if steps else np.repeat(rng.integers(0, CLASSES, (200, 1)), 4, 1)
    )
    indices = torch.tensor(truth + CLASSES * rng.integers(0, CODES // CLASSES, truth.shape))[..., None]
    labels: Any = np.eye(CLASSES + 1, dtype=np.float32)[truth] if steps else truth[:, 0]
    training = LabelledCodes((table,), indices, torch.tensor(labels))
    return CodeLayer("layer0", 0, table, training)


def dims(view: object) -> list[int]:
    assert isinstance(view, KeptDims)
    return view.dims.tolist()


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("variant", VARIANTS)
def test_toc_keeps_what_toc_selects(lam: float, variant: str) -> None:
    layer = material()
    options = {"lam": lam, **VARIANTS[variant]}
    sizes = [4, 0.5, 10, "auto"]
    for size, (view,) in zip(
        sizes, refiner(refiner="toc", keep=sizes, lam=lam, variant=variant).views(layer), strict=True
    ):
        expected = optimize(layer.codebook.numpy(), size, **options).indices  # type: ignore[arg-type]
        assert dims(view) == sorted(expected)
        assert not isinstance(view, Requantized)


@pytest.mark.parametrize("center", [None, True, False, "auto"])
def test_toc_centres_as_asked_and_by_default_where_an_offset_would_decide(center: bool | str | None) -> None:
    layer = material()
    layer = replace(layer, codebook=layer.codebook + torch.tensor([0.0] * 5 + [9.0] * 5))
    asked = {} if center is None else {"center": center}
    ((view,),) = refiner(refiner="toc", keep=5, **asked).views(layer)
    expected = optimize(layer.codewords, 5, center="auto" if center is None else center)
    assert expected.scores.centered == (center is not False)
    assert dims(view) == sorted(expected.indices)
    ((paper,),) = refiner(refiner="toc", keep=5, variant="paper").views(layer)
    assert dims(paper) == [0, 1, 2, 3, 4]


def test_toc_can_be_asked_to_requantize() -> None:
    asked = refiner(refiner="toc", keep=4, use="requantize")
    ((view,),) = asked.views(material())
    assert asked.requantizes
    assert isinstance(view, Requantized)
    assert torch.equal(view.codebook, material().codebook)


def test_merging_takes_numbers_of_codes_fractions_and_the_strongest_elbow() -> None:
    layer = material()
    sizes = refiner(refiner="merge", keep=[7, 0.5, "auto"]).views(layer)
    counts = [len(view.codebook) for (view,) in sizes if isinstance(view, Merged)]
    assert counts[:2] == [7, 15]
    assert counts[2] == merge_codes(layer.codewords, force=True).n_groups
    assert [view.width for (view,) in sizes] == [DIM] * 3
    with pytest.raises(InputError, match="between 2 and 29"):
        refiner(refiner="merge", keep=CODES).views(layer)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_random_draws_are_subsets_that_grow_with_the_size(seed: int, draws: int) -> None:
    asked = refiner(refiner="random", keep=[3, 0.5, 10], draws=draws, seed=seed)
    small, middle, whole = ([set(dims(view)) for view in size] for size in asked.views(material()))
    assert [len(s) for s in (*small, *middle, *whole)] == [3] * draws + [5] * draws + [10] * draws
    assert all(s <= m <= w for s, m, w in zip(small, middle, whole, strict=True))
    again, *_ = asked.views(material())
    assert [dims(view) for view in again] == [sorted(s) for s in small]


def test_random_draws_differ_between_draws_layers_and_seeds() -> None:
    layer = material()
    second = CodeLayer("layer1", 1, layer.codebook, layer.training)
    drawn = [
        [tuple(dims(view)) for view in refiner(refiner="random", keep=5, seed=seed).views(place)[0]]
        for seed, place in ((0, layer), (0, second), (1, layer))
    ]
    assert len({tuple(each) for each in drawn}) == 3
    assert len(set(drawn[0])) > 5


@pytest.mark.parametrize("size", [1, 3, 10])
def test_principal_components_leave_out_least_of_the_codebook(size: int) -> None:
    """The left-out squares are the smallest singular values, as no other linear map of that size has it."""
    layer = material()
    ((view,),) = refiner(refiner="pca", keep=size).views(layer)
    assert isinstance(view, Projected)
    codes = layer.codebook.numpy() - layer.codebook.numpy().mean(axis=0)
    values = np.linalg.svd(codes, compute_uv=False)
    seen = view.vectors(layer.codebook).numpy()
    assert np.square(codes).sum() - np.square(seen).sum() == pytest.approx(
        np.square(values[size:]).sum(), abs=1e-2
    )


def test_more_components_than_codes_are_refused() -> None:
    few = CodeLayer("layer0", 0, material().codebook[:6], None)
    with pytest.raises(InputError, match="10 principal components of 6 codes"):
        refiner(refiner="pca", keep=10).views(few)


@pytest.mark.parametrize("steps", [False, True])
def test_the_oracle_finds_the_dimensions_that_tell_the_classes(steps: bool) -> None:
    layer = material(steps=steps)
    ((oracle,),) = refiner(refiner="l1", keep=2).views(layer)
    assert dims(oracle) == [2, 7]
    ((blind,),) = refiner(refiner="toc", keep=2).views(layer)
    assert set(dims(blind)).isdisjoint({2, 7})


def test_sizes_are_those_of_toc_of_every_refiner() -> None:
    layer = material()
    auto = len(optimize(layer.codebook.numpy(), "auto").indices)
    for name in ("toc", "random", "pca", "l1"):
        views = refiner(refiner=name, keep=["auto", 0.25, 7]).views(layer)
        assert [draws[0].width for draws in views] == [auto, 2, 7]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"refiner": "toc", "keep": 0}, "0 is no size; expected a number of dimensions"),
        ({"refiner": "toc", "keep": [4, 1.5]}, "1.5 is no size"),
        ({"refiner": "toc", "keep": "most"}, "'most' is no size"),
        ({"refiner": "toc", "keep": True}, "True is no size"),
        ({"refiner": "toc", "keep": []}, "at least 1 entries"),
        ({"refiner": "toc", "keep": 4, "lam": 2}, "less than or equal to 1"),
        (
            {"refiner": "toc", "keep": 4, "variant": "mine"},
            "unknown variant 'mine'; expected one of corrected, paper",
        ),
        ({"refiner": "toc", "keep": 4, "draws": 3}, "unknown key 'refine.x.toc.draws'"),
        (
            {"refiner": "umap", "keep": 4},
            "'x' has the refiner 'umap'; expected one of toc, merge, random, pca, l1",
        ),
        ({"keep": 4}, "'x' has the refiner None"),
    ],
)
def test_a_wrong_refinement_is_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        refiner(**values)
    assert "\n" not in str(error.value)


def test_more_dimensions_than_there_are_is_an_error_that_names_the_layer() -> None:
    with pytest.raises(InputError, match="code layer layer0: n_dims is 11"):
        refiner(refiner="random", keep=11).views(material())
