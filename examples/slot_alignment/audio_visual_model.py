"""A late-fusion audio-visual classifier in the manner of OGM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from fitting import unpadded
from jaxtyping import Float
from torch import Tensor, nn

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
