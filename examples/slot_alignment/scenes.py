"""A small image-caption set drawn on the spot: coloured shapes, and sentences that name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

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
