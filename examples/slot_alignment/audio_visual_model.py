"""A late-fusion audio-visual classifier in the manner of OGM, and its frozen uni-modal teachers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from clips import LabelledClips
from fitting import Recipe, fit, frozen, unpadded
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import Tokens

SIDES = ("audio", "visual")
SMALL_DIM = 64


@dataclass(frozen=True)
class Classified:
    """What the classifier makes of clips.

    Attributes:
        parts: "audio" and "visual" -> the tokens before they are averaged, `H^(m)` of the SGA paper.
        logits: "fused", "audio" and "visual" -> `[B, classes]`. Those of one side alone come from its half of
            the last layer's weight and half of the bias, as OGM reads them.
    """

    parts: Mapping[str, Tokens]
    logits: Mapping[str, Float[Tensor, "batch classes"]]


class LateFusion(nn.Module):
    """An encoder for each side, averaged over its tokens, side by side into one linear layer.

    Args:
        encoders: "audio" and "visual" -> a module that makes a feature map or tokens of its input.
        dim: Channels of both.
        classes: How many classes there are.
    """

    def __init__(self, encoders: Mapping[str, nn.Module], dim: int, classes: int) -> None:
        super().__init__()
        self.dim = dim
        self.encoders = nn.ModuleDict(dict(encoders))
        self.head = nn.Linear(len(SIDES) * dim, classes)

    def forward(self, inputs: Mapping[str, Tensor]) -> Classified:
        """Classify clips; the inputs are those of the encoders."""
        parts = {side: as_tokens(self.encoders[side](inputs[side]), side) for side in SIDES}
        means = [parts[side].values.mean(1) for side in SIDES]
        halves = self.head.weight.chunk(len(SIDES), dim=1)
        logits = {
            side: mean @ half.T + self.head.bias / 2
            for side, mean, half in zip(SIDES, means, halves, strict=True)
        }
        return Classified(parts, {"fused": self.head(torch.cat(means, 1)), **logits})


def small_cnn(example: Tensor) -> nn.Sequential:
    """Three convolutions, the latter two of stride 2: a feature map of 64 channels.

    Args:
        example: Some inputs, `[B, channels, height, width]`.

    Raises:
        InputError: They are none.
    """
    if example.ndim != 4:
        raise InputError(
            f"inputs {list(example.shape)}",
            where="small encoder",
            expected="[clips, channels, height, width]",
            fix="or give an encoder of your own by --encoder",
        )
    channels = example.shape[1]
    layers: list[nn.Module] = []
    for width, stride in ((16, 1), (32, 2), (SMALL_DIM, 2)):
        layers += [
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*layers)


def as_tokens(output: Any, where: str) -> Tokens:
    """Feature maps `[B, C, H, W]` or tokens `[B, N, C]` as tokens, without padding.

    Raises:
        InputError: It is neither.
    """
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(
            f"the module gives {got}", where=where, expected="feature maps [B, C, H, W] or tokens [B, N, C]"
        )
    return unpadded(output if output.ndim == 3 else output.flatten(2).mT)


@dataclass(frozen=True, eq=False)
class Teacher:
    """A frozen module, and the side it reads: "audio" or "visual"."""

    side: str
    module: nn.Module


@torch.no_grad()
def teacher_tokens(teachers: Mapping[str, Teacher], clips: LabelledClips) -> dict[str, Tokens]:
    """h_m of the SGA paper: teacher -> the tokens it makes of clips."""
    return {
        name: as_tokens(teacher.module(clips.inputs[teacher.side]), f"teacher '{name}'")
        for name, teacher in teachers.items()
    }


def small_teacher(
    side: str, clips: LabelledClips, steps: int, generator: torch.Generator, device: torch.device
) -> Teacher:
    """A small network that has learned to tell the classes of clips by one side of them.

    Args:
        side: "audio" or "visual".
        clips: What it learns from.
        steps: Training steps; 0 leaves it random.
        generator: Of its batches.
        device: Where it is trained.
    """
    encoder = small_cnn(clips.inputs[side][:1]).to(device)
    head = nn.Linear(SMALL_DIM, int(clips.labels.max()) + 1).to(device)

    def objective(chosen: Int64[Tensor, " batch"]) -> dict[str, Tensor]:
        batch = clips.some(chosen, device)
        means = as_tokens(encoder(batch.inputs[side]), side).values.mean(1)
        return {"classes": F.cross_entropy(head(means), batch.labels)}

    recipe = Recipe(steps, batch_size=64, lr=1e-3)
    title = f"{side} teacher"
    fit([encoder, head], objective, samples=len(clips), recipe=recipe, generator=generator, title=title)
    return Teacher(side, frozen(encoder))


def own_teacher(text: str, device: torch.device) -> tuple[str, Teacher]:
    """The name and the teacher that `NAME=SIDE:package.module:callable` stands for.

    Raises:
        InputError: It is written differently, or makes no module.
    """
    name, _, target = text.partition("=")
    side, _, path = target.partition(":")
    if not name or side not in SIDES:
        raise InputError(
            f"cannot read '{text}'",
            where="--teacher",
            expected="NAME=audio:package.module:callable, or =visual:",
        )
    return name, Teacher(side, frozen(made(path, "--teacher")).to(device))


def made(path: str, where: str) -> nn.Module:
    """The module that a callable without arguments makes.

    Args:
        path: `package.module:callable`.
        where: The option it was given in, for the error.

    Raises:
        InputError: There is no such callable, or it makes something else.
    """
    package, _, attribute = path.partition(":")
    try:
        module: Any = getattr(importlib.import_module(package), attribute)()
    except Exception as error:  # whatever somebody's code raises
        raise InputError(
            f"cannot make '{path}' ({type(error).__name__}: {error})",
            where=where,
            expected="package.module:callable, a callable without arguments",
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            f"'{path}' made a {type(module).__name__}", where=where, expected="a torch.nn.Module"
        )
    return module
