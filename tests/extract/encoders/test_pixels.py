"""Small pictures as features, without weights."""

from __future__ import annotations

import numpy as np
import pytest

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders import load_encoder
from unicode_cmg.extract.media import ONE_STEP, Frames, Grid

pytest.importorskip("PIL.Image")


def test_a_picture_is_its_mean_colours_in_each_of_its_places() -> None:
    image = np.zeros((1, 16, 24, 3), np.uint8)
    image[0, :8, 12:, 0] = 255
    encoder = load_encoder({"name": "pixels", "side": 2}, "image")
    (found,) = encoder.encode([encoder.prepare(Frames(image, np.zeros(1)), ONE_STEP)])
    expected = np.full((1, 2, 2, 3), -0.5)
    expected[0, 0, 1, 0] = 0.5
    np.testing.assert_allclose(found, expected)


def test_the_frames_of_a_step_are_averaged_and_a_step_without_any_is_zero() -> None:
    grid = Grid(seconds=3, per_second=1)
    encoder = load_encoder({"name": "pixels", "side": 1, "frames": 2}, "video")
    assert encoder.frames_per_step == 2
    times = grid.frame_seconds(2)[:4]
    images = np.array([0, 255, 255, 255], np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    found = encoder.prepare(Frames(images, times), grid)
    np.testing.assert_allclose(found[:, 0, 0, 0], [0, 0.5, 0])


def test_it_has_no_model() -> None:
    with pytest.raises(InputError, match="'pixels' has no model"):
        load_encoder("pixels:weights.pth", "video")
