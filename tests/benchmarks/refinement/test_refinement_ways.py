"""Each way of refining finds the dimensions it is meant to find, and refuses what it cannot do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluation.heads import LabelledCodes
from benchmarks.refinement import LayerMaterial, Way, parse_ways
from benchmarks.refinement.views import KeptDims, Projected, Requantized
from toc import VARIANTS, optimize
from unicode_cmg.errors import InputError

DIM, CODES, CLASSES = 10, 30, 3


def way(**values: Any) -> Way:
    return parse_ways({"x": values})["x"]


def material(seed: int = 0, *, steps: bool = False) -> LayerMaterial:
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
    return LayerMaterial("layer0", 0, table, training)


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
        sizes, way(way="toc", keep=sizes, lam=lam, variant=variant).views(layer), strict=True
    ):
        expected = optimize(layer.codebook.numpy(), size, **options).indices  # type: ignore[arg-type]
        assert dims(view) == sorted(expected)
        assert not isinstance(view, Requantized)


def test_toc_can_be_asked_to_requantize() -> None:
    asked = way(way="toc", keep=4, use="requantize")
    ((view,),) = asked.views(material())
    assert asked.requantizes
    assert isinstance(view, Requantized)
    assert torch.equal(view.codebook, material().codebook)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_random_draws_are_subsets_that_grow_with_the_size(seed: int, draws: int) -> None:
    asked = way(way="random", keep=[3, 0.5, 10], draws=draws, seed=seed)
    small, middle, whole = ([set(dims(view)) for view in size] for size in asked.views(material()))
    assert [len(s) for s in (*small, *middle, *whole)] == [3] * draws + [5] * draws + [10] * draws
    assert all(s <= m <= w for s, m, w in zip(small, middle, whole, strict=True))
    again, *_ = asked.views(material())
    assert [dims(view) for view in again] == [sorted(s) for s in small]


def test_random_draws_differ_between_draws_layers_and_seeds() -> None:
    layer = material()
    second = LayerMaterial("layer1", 1, layer.codebook, layer.training)
    drawn = [
        [tuple(dims(view)) for view in way(way="random", keep=5, seed=seed).views(place)[0]]
        for seed, place in ((0, layer), (0, second), (1, layer))
    ]
    assert len({tuple(each) for each in drawn}) == 3
    assert len(set(drawn[0])) > 5


@pytest.mark.parametrize("size", [1, 3, 10])
def test_principal_components_leave_out_least_of_the_codebook(size: int) -> None:
    """The left-out squares are the smallest singular values, as no other linear map of that size has it."""
    layer = material()
    ((view,),) = way(way="pca", keep=size).views(layer)
    assert isinstance(view, Projected)
    codes = layer.codebook.numpy() - layer.codebook.numpy().mean(axis=0)
    values = np.linalg.svd(codes, compute_uv=False)
    seen = view.vectors(layer.codebook).numpy()
    assert np.square(codes).sum() - np.square(seen).sum() == pytest.approx(
        np.square(values[size:]).sum(), abs=1e-2
    )


def test_more_components_than_codes_are_refused() -> None:
    few = LayerMaterial("layer0", 0, material().codebook[:6], None)
    with pytest.raises(InputError, match="10 principal components of 6 codes"):
        way(way="pca", keep=10).views(few)


@pytest.mark.parametrize("steps", [False, True])
def test_the_oracle_finds_the_dimensions_that_tell_the_classes(steps: bool) -> None:
    layer = material(steps=steps)
    ((oracle,),) = way(way="l1", keep=2).views(layer)
    assert dims(oracle) == [2, 7]
    ((blind,),) = way(way="toc", keep=2).views(layer)
    assert set(dims(blind)).isdisjoint({2, 7})


def test_sizes_are_those_of_toc_in_every_way() -> None:
    layer = material()
    auto = len(optimize(layer.codebook.numpy(), "auto").indices)
    for name in ("toc", "random", "pca", "l1"):
        views = way(way=name, keep=["auto", 0.25, 7]).views(layer)
        assert [draws[0].width for draws in views] == [auto, 2, 7]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"way": "toc", "keep": 0}, "0 is no size; expected a number of dimensions"),
        ({"way": "toc", "keep": [4, 1.5]}, "1.5 is no size"),
        ({"way": "toc", "keep": "most"}, "'most' is no size"),
        ({"way": "toc", "keep": True}, "True is no size"),
        ({"way": "toc", "keep": []}, "at least 1 entries"),
        ({"way": "toc", "keep": 4, "lam": 2}, "less than or equal to 1"),
        (
            {"way": "toc", "keep": 4, "variant": "mine"},
            "unknown variant 'mine'; expected one of paper, released",
        ),
        ({"way": "toc", "keep": 4, "draws": 3}, "unknown key 'refine.x.toc.draws'"),
        ({"way": "umap", "keep": 4}, "'x' has the way 'umap'; expected one of toc, random, pca, l1"),
        ({"keep": 4}, "'x' has the way None"),
    ],
)
def test_a_wrong_refinement_is_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        way(**values)
    assert "\n" not in str(error.value)


def test_more_dimensions_than_there_are_is_an_error_that_names_the_layer() -> None:
    with pytest.raises(InputError, match="code layer layer0: n_dims is 11"):
        way(way="random", keep=11).views(material())
