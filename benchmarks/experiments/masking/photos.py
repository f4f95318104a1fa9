"""Photographs from installed packages, and the crops of their training, validation and test parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unicode_cmg.errors import InputError

Split = Literal["train", "val", "test"]
Photo = UInt8[np.ndarray, "_ _ 3"]

CROP = 32
"""Side of a crop in pixels."""

COLUMNS: dict[Split, tuple[tuple[float, float], ...]] = {
    "train": ((0, 3 / 8), (3 / 4, 1)),
    "val": ((3 / 8, 1 / 2),),
    "test": ((1 / 2, 3 / 4),),
}
"""Bands of columns of every photograph, from and up to a share of its width; all rows."""


def load_photos() -> dict[str, Photo]:
    """Photographs by name, as `[height, width, 3]` bytes.

    `china` and `flower` (427 x 640) are scikit-learn's sample images, `grace_hopper` (600 x 512) is
    matplotlib's sample picture; their wheels bring them along.

    Raises:
        InputError: A package was installed without its pictures.
    """
    from matplotlib import get_data_path
    from sklearn.datasets import load_sample_images

    try:
        china, flower = load_sample_images().images
        portrait = _read(Path(get_data_path()) / "sample_data" / "grace_hopper.jpg")
    except (OSError, ValueError) as error:
        raise InputError(
            f"the sample pictures of scikit-learn and matplotlib cannot be read ({error})",
            fix="install both packages from their wheels",
        ) from None
    return {"china": china, "flower": flower, "grace_hopper": portrait}


def _read(path: Path) -> Photo:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def bands(photo: Photo, split: Split) -> list[Photo]:
    """The bands of one photograph that belong to a split; those of different splits share no pixel."""
    width = photo.shape[1]
    return [photo[:, round(start * width) : round(end * width)] for start, end in COLUMNS[split]]


def grid_crops(photos: Sequence[Photo], split: Split) -> Float[Tensor, "crops 3 side side"]:
    """All crops of a split side by side, from the upper left of each band; incomplete crops are dropped."""
    return to_tensor(
        [
            band[top : top + CROP, left : left + CROP]
            for photo in photos
            for band in bands(photo, split)
            for top in range(0, band.shape[0] - CROP + 1, CROP)
            for left in range(0, band.shape[1] - CROP + 1, CROP)
        ]
    )


def random_crops(
    photos: Sequence[Photo], split: Split, count: int, generator: torch.Generator
) -> Iterator[Float[Tensor, "count 3 side side"]]:
    """Endless batches of crops: all places in the split are equally likely; half the crops are mirrored."""
    sources = [band for photo in photos for band in bands(photo, split)]
    places = np.array([band.shape[:2] for band in sources]) - CROP + 1
    likely = torch.from_numpy(places.prod(axis=1)).double()
    while True:
        chosen = torch.multinomial(likely, count, replacement=True, generator=generator).numpy()
        draws = torch.rand(count, 3, generator=generator, dtype=torch.float64).numpy()
        corners = (draws[:, :2] * places[chosen]).astype(np.int64)
        cuts = [
            sources[source][top : top + CROP, left : left + CROP]
            for source, (top, left) in zip(chosen, corners, strict=True)
        ]
        mirrored = draws[:, 2] < 0.5
        yield to_tensor([cut[:, ::-1] if mirror else cut for cut, mirror in zip(cuts, mirrored, strict=True)])


def to_tensor(images: Sequence[UInt8[np.ndarray, "height width 3"]]) -> Float[Tensor, "n 3 height width"]:
    """Images of one size, bytes to floats between 0 and 1, channels first."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().float() / 255
