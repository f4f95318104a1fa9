"""Frozen uni-modal teachers of the audio-visual classifier: small ones, or any module of yours."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from audio_visual_model import SIDES, SMALL_DIM, as_tokens, small_cnn
from clips import LabelledClips
from fitting import Recipe, fit, frozen
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import Tokens


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
