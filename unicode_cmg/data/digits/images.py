"""What the embedded digits look and sound like: features of a step back to an image."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.image import imsave

from unicode_cmg.data.digits.sources import COEFFICIENTS, FRAMES

_LEVELS = 4  # of the thermometer that a pixel was written as


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
