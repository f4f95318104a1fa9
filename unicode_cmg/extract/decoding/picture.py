"""Still images of any kind as RGB, upright."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from unicode_cmg.extract.decoding.file import Page, decoder, decoding, opened
from unicode_cmg.extract.faults import MediaError
from unicode_cmg.extract.media import Frames

_MOST_PIXELS = 178_000_000  # where pillow suspects a decompression bomb
_DRAWN = 512  # pixels of the square into which an SVG is drawn
_MOST_SVG = 32 << 20


def read_picture(place: Path | Page, root: Path) -> Frames:
    """One image, turned as its EXIF tag says, on white where it is transparent, and with 8 bits.

    Args:
        place: An image that pillow reads, an HEIC, for which it needs pillow-heif, or an SVG, which is drawn
            by cairosvg.
        root: The folder that it may not leave.

    Raises:
        MediaError: It is not readable or is too large.
        SetupError: pillow, pillow-heif or cairosvg is not installed.
    """
    image_module = decoder("PIL.Image")
    with decoding("image", place):
        file = opened(place, root)
        suffix = Path(place.name).suffix.lower()
        if suffix in (".svg", ".svgz"):
            file = io.BytesIO(_drawn(file))
        elif suffix in (".heic", ".heif"):
            decoder("pillow_heif").register_heif_opener()
        with image_module.open(file) as image:
            width, height = image.size
            if width * height > _MOST_PIXELS:
                raise MediaError("too large", f"{width}x{height} pixels")
            from PIL import ImageOps

            pixels = _rgb(image_module, ImageOps.exif_transpose(image))
    return Frames(pixels[None], np.zeros(1))


def _rgb(module: Any, image: Any) -> UInt8[np.ndarray, "height width 3"]:
    if image.mode.startswith(("I", "F")):
        return np.repeat(_eight_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
        image = module.alpha_composite(module.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _eight_bits(values: Any) -> UInt8[np.ndarray, "height width"]:
    """Grey values of 16 bits, 32 bits or floats, by the scale that their largest value points to."""
    grey = np.nan_to_num(values.astype(np.float64))
    if values.dtype.itemsize == 2 and values.dtype.kind in "iu":
        scale = 257.0
    else:
        largest = grey.max(initial=0.0)
        scale = 1 / 255 if largest <= 1 else 1.0 if largest <= 255 else max(257.0, largest / 255)
    eight: UInt8[np.ndarray, "height width"] = np.clip(np.rint(grey / scale), 0, 255).astype(np.uint8)
    return eight


def _drawn(file: Any) -> bytes:
    """An SVG as a PNG. Nothing that it refers to is fetched."""
    source = file.read() if isinstance(file, io.BytesIO) else _bytes_of(file)
    if source[:2] == b"\x1f\x8b":
        raise MediaError("unreadable", "a compressed SVG; unpack it with gunzip")
    svg = decoder("cairosvg.surface")
    found: bytes = svg.PNGSurface.convert(
        bytestring=source, output_width=_DRAWN, output_height=_DRAWN, url_fetcher=_fetch, unsafe=False
    )
    return found


def _bytes_of(file: str) -> bytes:
    with Path(file).open("rb") as stream:
        source = stream.read(_MOST_SVG + 1)
    if len(source) > _MOST_SVG:
        raise MediaError("too large", f"an SVG of more than {_MOST_SVG >> 20} MiB")
    return source


def _fetch(url: str, kind: str) -> bytes:
    """What an SVG refers to, if it is inside of it."""
    if not url.startswith("data:"):
        raise MediaError("outside", f"it refers to {url[:100]}, which is not fetched")
    found: bytes = decoder("cairosvg.url").fetch(url, kind)
    return found
