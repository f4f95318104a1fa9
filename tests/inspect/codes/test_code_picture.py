from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from lookup_method import Lookup
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_hex

from unicode_cmg.data import FeatureStore
from unicode_cmg.inspect import describe_codes, draw_codes
from unicode_cmg.inspect.codes.dots import corners, place_dots
from unicode_cmg.inspect.codes.usage import sharing_of


def drawn(modalities: int, codes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares, kinds and uses of codes, many of them at the same spot."""
    rng = np.random.default_rng(seed)
    counts = np.round(rng.dirichlet([0.15] * modalities, codes) * 20).astype(np.int64)
    sharing = sharing_of({str(m): counts[:, m] for m in range(modalities)})
    return sharing.parts, np.array(sharing.kinds), rng.exponential(1.0, codes)


@pytest.mark.parametrize("modalities", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("codes", [1, 2, 150])
def test_dots_do_not_overlap(modalities: int, codes: int) -> None:
    dots = place_dots(*drawn(modalities, codes))
    for a, b in combinations(range(codes), 2):
        distance = np.linalg.norm(dots.centres[a] - dots.centres[b])
        assert distance > dots.radii[a] + dots.radii[b]


def test_dots_stay_in_the_region_of_their_kind() -> None:
    parts, kinds, uses = drawn(3, 200)
    assert set(kinds) == {"shared", "between", "single"}
    where = np.vstack([corners(3).T, np.ones(3)])
    for kind, centre in zip(kinds, place_dots(parts, kinds, uses).centres, strict=True):
        shares = np.linalg.solve(where, [*centre, 1.0])
        if kind == "shared":
            assert shares.min() >= 0.05
        elif kind == "single":
            assert shares.max() > 0.95
        else:
            assert shares.min() < 0.05
            assert shares.max() <= 0.95


def test_dots_with_room_sit_at_their_shares() -> None:
    parts = np.array([[0.6, 0.2, 0.2], [0.1, 0.1, 0.8], [0, 0.5, 0.5]])
    dots = place_dots(parts, np.array(["shared", "shared", "between"]), np.array([1.0, 4, 2]))
    np.testing.assert_allclose(dots.centres, parts @ corners(3))
    assert dots.radii.argsort().tolist() == [0, 2, 1]


def test_very_many_dots_are_drawn_where_they_belong() -> None:
    parts, kinds, uses = drawn(3, 1501)
    np.testing.assert_allclose(place_dots(parts, kinds, uses).centres, parts @ corners(3))


def test_corners_are_one_apart_and_the_triangle_stands_on_its_base() -> None:
    for modalities in (2, 3, 4, 5):
        where = corners(modalities)
        sides = np.linalg.norm(where - np.roll(where, 1, axis=0), axis=1)
        np.testing.assert_allclose(sides, 1.0)
    assert corners(3)[0, 1] == pytest.approx(corners(3)[1, 1])
    assert corners(3)[2, 1] > corners(3)[0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("names", [["audio"], ["audio", "video"], ["audio", "video", "text"]])
def test_the_picture_has_a_dot_for_each_used_code_and_its_counts_in_the_title(
    model: Lookup, store: FeatureStore, tmp_path: Path, names: list[str]
) -> None:
    found = describe_codes(model, store, modalities=names)
    figure = draw_codes(found, tmp_path / "codes.png")
    title = figure.get_suptitle()
    colours = {"#009e73": "shared", "#0072b2": "between", "#d55e00": "single"}
    plane = figure.axes[0]
    for dots in plane.collections:
        if isinstance(dots, PatchCollection) and len(dots.get_paths()):
            kind = colours[to_hex(dots.get_facecolor()[0])]
            assert len(dots.get_paths()) == found.kinds[kind]
            assert f"{found.kinds[kind]} {kind}" in title
    assert sum(len(d.get_paths()) for d in plane.collections if isinstance(d, PatchCollection)) == sum(
        entry.kind != "unused" for entry in found.codes
    )
    assert (tmp_path / "codes.png").stat().st_size > 10_000


def test_the_picture_tells_raw_shares_and_modalities(model: Lookup, store: FeatureStore) -> None:
    figure = draw_codes(describe_codes(model, store, raw=True))
    assert "raw counts" in figure.get_suptitle()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert [text.split("\n")[0] for text in texts[:3]] == ["audio", "video", "text"]
