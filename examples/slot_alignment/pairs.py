"""Image-caption pairs: your own from a JSONL file that names pictures, or drawn scenes of coloured shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text

COLOURS = {
    "red": (1.0, 0.1, 0.1),
    "green": (0.1, 0.8, 0.1),
    "blue": (0.2, 0.3, 1.0),
    "yellow": (1.0, 0.9, 0.1),
    "purple": (0.6, 0.1, 0.8),
    "white": (1.0, 1.0, 1.0),
}
SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": lambda x, y: x**2 + y**2 < 1,
    "square": lambda x, y: torch.maximum(x.abs(), y.abs()) < 0.85,
    "triangle": lambda x, y: (y.abs() < 0.9) & (x.abs() < (y + 0.9) / 1.8),
    "cross": lambda x, y: (torch.minimum(x.abs(), y.abs()) < 0.3) & (torch.maximum(x.abs(), y.abs()) < 1),
}
KINDS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
WORDS = ("a", "and", *COLOURS, *SHAPES)


class Pairs(Protocol):
    """Images and their captions, in the same order; an image with several captions is in several pairs."""

    @property
    def captions(self) -> list[str]:
        """All captions."""

    @property
    def image_of(self) -> Int64[Tensor, " pairs"]:
        """A number for the image of each pair; pairs of the same image have the same."""

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
        numbers: dict[Path, int] = {}
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
        self.image_of = torch.tensor([numbers.setdefault(image, len(numbers)) for image in self._images])
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


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images and their captions.

    Attributes:
        captions: Such as "a red circle and a blue cross", the objects in reading order.
        pixels: Images from -1 to 1.
        kinds: Which of the 24 kinds of objects an image shows.
    """

    captions: list[str]
    pixels: Float[Tensor, "n 3 size size"]
    kinds: Bool[Tensor, "n kinds"]

    @property
    def image_of(self) -> Int64[Tensor, " pairs"]:
        """Every pair has an image of its own."""
        return torch.arange(len(self.captions))

    def images(self, indices: Sequence[int]) -> Float[Tensor, "batch 3 size size"]:
        """Some of the images."""
        return self.pixels[list(indices)]


def draw_scenes(
    count: int,
    generator: torch.Generator,
    *,
    unlike: Sequence[str] = (),
    distinct: bool = False,
    size: int = 32,
) -> Scenes:
    """Scenes of one or two objects, each in a quarter of its own of a dark, grainy image.

    Args:
        count: How many.
        generator: The source of all randomness.
        unlike: Captions that are not used: what is held out must not have been read.
        distinct: No caption occurs twice, so that each image has one right answer; there are 600 captions.
        size: Height and width in pixels.
    """
    taken = set(unlike)
    captions: list[str] = []
    pixels, kinds = [], torch.zeros(count, len(KINDS), dtype=torch.bool)
    while len(captions) < count:
        number = 1 + int(torch.randint(2, (), generator=generator))
        objects = torch.randint(len(KINDS), (number,), generator=generator).tolist()
        caption = " and ".join(f"a {colour} {shape}" for colour, shape in (KINDS[k] for k in objects))
        if caption in taken:
            continue
        if distinct:
            taken.add(caption)
        kinds[len(captions), objects] = True
        captions.append(caption)
        pixels.append(_draw(objects, size, generator))
    return Scenes(captions, torch.stack(pixels), kinds)


def _draw(objects: list[int], size: int, generator: torch.Generator) -> Float[Tensor, "3 size size"]:
    """One image; its quarters are drawn without replacement and filled in reading order."""
    quarters = torch.randperm(4, generator=generator)[: len(objects)].sort().values.tolist()
    image = 0.1 * torch.rand(3, size, size, generator=generator)
    places = torch.arange(size) + 0.5
    for kind, quarter in zip(objects, quarters, strict=True):
        colour, shape = KINDS[kind]
        jitter = (torch.rand(3, generator=generator) - 0.5).tolist()
        middle_x = size * (0.25 + 0.5 * (quarter % 2) + 0.06 * jitter[0])
        middle_y = size * (0.25 + 0.5 * (quarter // 2) + 0.06 * jitter[1])
        radius = size * (0.18 + 0.04 * jitter[2])
        inside = SHAPES[shape]((places[None, :] - middle_x) / radius, (places[:, None] - middle_y) / radius)
        image = torch.where(inside, torch.tensor(COLOURS[colour])[:, None, None], image)
    return 2 * image - 1
