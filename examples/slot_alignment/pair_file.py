"""Your own image-caption pairs: a JSONL file that names pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text


class Pairs(Protocol):
    """Images and their captions, in the same order."""

    @property
    def captions(self) -> list[str]:
        """All captions."""

    def images(self, indices: Sequence[int]) -> Float[Tensor, "batch 3 height width"]:
        """Some of the images, pixels from -1 to 1."""


class PairFile:
    """Pairs listed as lines such as `{"image": "photos/1.jpg", "caption": "two dogs"}`.

    Only captions are kept in memory. Images are opened when they are asked for, stretched to a square, and
    scaled to -1 to 1, as ViLT and ViT read them.

    Args:
        path: The JSONL file; images are looked for beside it.
        size: Height and width the images are given, in pixels.

    Raises:
        InputError: The file is missing or a line is not such a pair.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self.captions: list[str] = []
        self._images: list[Path] = []
        for number, line in enumerate(read_text(path).splitlines(), 1):
            try:
                pair = json.loads(line)
                image, caption = pair["image"], pair["caption"]
            except (ValueError, KeyError, TypeError):
                image = caption = None
            if not isinstance(image, str) or not isinstance(caption, str):
                raise InputError(
                    "not a pair", where=f"{path}:{number}", expected='{"image": "FILE", "caption": "TEXT"}'
                )
            self._images.append(path.parent / image)
            self.captions.append(caption)
        if not self.captions:
            raise InputError("no pairs", where=path, expected="a line for each image and caption")

    def images(self, indices: Sequence[int]) -> Float[Tensor, "batch 3 size size"]:
        """Some of the images.

        Raises:
            InputError: One is missing or cannot be read.
        """
        with ThreadPoolExecutor(8) as threads:  # decoding leaves Python free
            return torch.stack(list(threads.map(self._read, [self._images[i] for i in indices])))

    def _read(self, path: Path) -> Float[Tensor, "3 size size"]:
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB").resize((self.size, self.size)), np.float32)
        except FileNotFoundError:
            raise InputError("no such image", where=path) from None
        except (OSError, UnidentifiedImageError):
            raise InputError("not an image that Pillow can read", where=path) from None
        return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)
