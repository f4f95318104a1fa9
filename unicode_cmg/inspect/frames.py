"""Images of the steps of a clip: embedded digits as they look and sound, other features by their length."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.image import imsave

from unicode_cmg.data.digits.sources import AUDIO_DIM, COEFFICIENTS, FRAMES, VIDEO_SHAPE
from unicode_cmg.data.store import FeatureStore

_STEP = (3, 8)  # height and width of a step without a grid
_SIDE = 8  # of a step with a grid, about
_LEVELS = 4  # of the thermometer that a pixel of a digit was written as
_DARK = 0.4  # of the way to black, that colours show on top


@dataclass(frozen=True, eq=False)
class Frames:
    """An image of each step.

    Attributes:
        pixels: `[T, height, width, 4]`; transparent where a step is padding.
        cell: Width and height of a token in its grid.
        border: Where the grid begins in an image, from the left and from above.
    """

    pixels: UInt8[np.ndarray, "steps height width 4"]
    cell: int = 1
    border: float = 0.0


def frames_of(store: FeatureStore, column: str, row: int) -> Frames:
    """Images of the steps of one clip in one column.

    Embedded digits look like what they were made of. Of other features the length of each vector is drawn,
    dark where it is large, from the smallest to the largest of the clip.
    """
    batch = store.batch([row], modalities=[column])
    features, mask = batch.features[column][0].numpy(), batch.masks[column][0].numpy()
    digits = store.source.get("name") == "digits"
    cell, border = 1, 0.0
    if digits and column == "video" and features.shape[1:] == VIDEO_SHAPE:
        pixels = np.stack([scan_image(step) for step in features])
        black = 255 - pixels[..., :3].astype(np.float32)
        pixels[..., :3] = 255 - _DARK * black  # as dark as lengths are drawn
        border = 0.5  # a token is a window of 2x2 pixels: its middle is where four pixels meet
    elif digits and column == "audio" and features.shape[1:] == (AUDIO_DIM,):
        pixels = np.stack([sound_image(step) for step in features])
    else:
        lengths = np.linalg.norm(features, axis=-1)
        low, high = lengths[mask].min(), lengths[mask].max()
        lengths = ((lengths - low) / max(high - low, 1e-12)).clip(0, 1)
        if lengths.ndim == 3:
            cell = max(1, round(_SIDE / max(lengths.shape[1:])))
            lengths = lengths.repeat(cell, axis=1).repeat(cell, axis=2)
        else:
            means = lengths.reshape(len(lengths), -1).mean(axis=1)
            lengths = np.broadcast_to(means[:, None, None], (len(means), *_STEP))
        grey = (255 * (1 - _DARK * lengths)).astype(np.uint8)
        pixels = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    return Frames(np.where(mask[:, None, None, None], pixels, np.uint8(0)), cell, border)


def mosaic(
    pixels: UInt8[np.ndarray, "steps height width 4"], places: Shaped[np.ndarray, "steps 2"]
) -> UInt8[np.ndarray, "total_height total_width 4"]:
    """All images in one.

    Args:
        pixels: The images.
        places: Left and upper edge of each, whole numbers of pixels.
    """
    height, width = pixels.shape[1:3]
    right, bottom = places.max(axis=0).tolist()
    together = np.zeros((bottom + height, right + width, 4), np.uint8)
    for image, (left, top) in zip(pixels, places.tolist(), strict=True):
        together[top : top + height, left : left + width] = image
    return together


def scan_of(windows: Float[np.ndarray, "7 7 16"]) -> Float[np.ndarray, "8 8"]:
    """The 8x8 pixels that the windows of a video step were cut from; its levels add up to a pixel."""
    corners = windows.reshape(7, 7, _LEVELS, 4).mean(axis=2)
    pixels = np.zeros((8, 8), dtype=corners.dtype)
    for corner, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        pixels[down : down + 7, right : right + 7] = corners[..., corner]
    return pixels


def scan_image(windows: Float[np.ndarray, "7 7 16"]) -> UInt8[np.ndarray, "8 8 4"]:
    """A written digit, black on white."""
    return _coloured(1 - scan_of(windows), "gray", 0.0, 1.0)


def sound_image(vector: Float[np.ndarray, " 104"]) -> UInt8[np.ndarray, "13 8 4"]:
    """13 MFCC, low at the bottom, over 8 moments of a spoken digit."""
    return _coloured(vector.reshape(FRAMES, COEFFICIENTS).T[::-1], "magma", -2.5, 2.5)


def png_uri(pixels: UInt8[np.ndarray, "height width 4"]) -> str:
    """An image as a data URI."""
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _coloured(
    values: Float[np.ndarray, "height width"], colours: str, low: float, high: float
) -> UInt8[np.ndarray, "height width 4"]:
    return np.asarray(colormaps[colours](Normalize(low, high)(values), bytes=True))
