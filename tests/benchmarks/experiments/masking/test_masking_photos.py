"""The photographs and which of their pixels belong to which split."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

from benchmarks.experiments.masking.figures import SIDE, WINDOWS
from benchmarks.experiments.masking.photos import COLUMNS, CROP, bands, grid_crops, load_photos, random_crops
from unicode_cmg.errors import InputError


@pytest.fixture(scope="module")
def numbered() -> np.ndarray:
    """A picture whose red says the column."""
    photo = np.zeros((40, 256, 3), dtype=np.uint8)
    photo[..., 0] = np.arange(256)
    return photo


def columns(images: torch.Tensor) -> set[int]:
    return set((images[:, 0] * 255).round().int().flatten().tolist())


def test_the_three_photographs_are_installed() -> None:
    shapes = {name: photo.shape for name, photo in load_photos().items()}
    assert shapes == {"china": (427, 640, 3), "flower": (427, 640, 3), "grace_hopper": (600, 512, 3)}


def test_every_pixel_belongs_to_exactly_one_split() -> None:
    for width in (256, 512, 640, 641):
        photo = np.zeros((1, width, 3), dtype=np.uint8)
        for split in COLUMNS:
            for band in bands(photo, split):
                band += 1
        assert (photo == 1).all()


def test_crops_of_different_splits_share_no_pixel(numbered: np.ndarray) -> None:
    crops = {split: columns(grid_crops([numbered], split)) for split in COLUMNS}
    assert [len(found) for found in crops.values()] == [160, 32, 64]
    for one, other in combinations(crops.values(), 2):
        assert one.isdisjoint(other)


def test_grid_crops_are_the_pixels_of_the_bands_between_0_and_1() -> None:
    photos = list(load_photos().values())
    test = grid_crops(photos, "test")
    assert test.shape == (2 * 13 * 5 + 18 * 4, 3, CROP, CROP)
    assert len(grid_crops(photos, "val")) == 2 * 13 * 2 + 18 * 2
    second = photos[0][:CROP, 320 + CROP : 320 + 2 * CROP].transpose(2, 0, 1)
    np.testing.assert_allclose(test[1].numpy(), second / 255, atol=1e-7)


def test_random_crops_stay_in_their_split_and_reach_all_of_it(numbered: np.ndarray) -> None:
    crops = random_crops([numbered], "train", 400, torch.Generator().manual_seed(0))
    images = next(crops)
    assert columns(images) == {*range(96), *range(192, 256)}
    steps = images[:, 0, 0, 1] - images[:, 0, 0, 0]
    assert 120 < (steps < 0).sum() < 280  # about half are mirrored
    assert not torch.equal(images, next(crops))


def test_random_crops_are_decided_by_the_seed(numbered: np.ndarray) -> None:
    first, same, other = (
        next(random_crops([numbered], "train", 8, torch.Generator().manual_seed(seed))) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_pictures_show_test_pixels_only() -> None:
    for name, photo in load_photos().items():
        top, left = WINDOWS[name]
        start, end = (share * photo.shape[1] for share in COLUMNS["test"][0])
        assert start <= left
        assert left + SIDE <= end
        assert top + SIDE <= photo.shape[0]


def test_missing_pictures_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"grace_hopper\.jpg.*install both packages"):
        load_photos()
