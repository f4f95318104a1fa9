"""Teachers: what turns a column of the feature store into tokens of a uni-modal model."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment.config import TeacherConfig
from unicode_cmg.regularizers.slot_alignment.records import Tokens


class StoredTeacher(nn.Module):
    """Stored features are the tokens: one a step, or one for each cell of a grid."""

    def forward(self, features: Float[Tensor, "batch time ..."], mask: Bool[Tensor, "batch time"]) -> Tokens:
        """`[B, T, C]` as T tokens, `[B, T, H, W, C]` as T x H x W, row by row."""
        cells = features.shape[2:-1].numel()
        return Tokens(features.flatten(1, -2), mask.repeat_interleave(cells, dim=1))


class ModuleTeacher(nn.Module):
    """Somebody's module that makes tokens of a column's features; frozen unless it is to learn.

    A frozen module stays in evaluation mode, whatever mode is asked for, and no gradient is computed for it.

    Args:
        module: Maps features `[B, T, ...]` and mask `[B, T]` to tokens `[B, N, C]` and their mask `[B, N]`.
        learns: Whether it is trained.
        where: What to call it in error messages.
    """

    def __init__(self, module: nn.Module, *, learns: bool, where: str) -> None:
        super().__init__()
        self.module, self.learns, self._where = module, learns, where
        if not learns:
            self.requires_grad_(False)
            self.eval()

    def train(self, mode: bool = True) -> ModuleTeacher:
        """Set the mode, unless it is frozen."""
        super().train(mode and self.learns)
        return self

    def forward(self, features: Float[Tensor, "batch time ..."], mask: Bool[Tensor, "batch time"]) -> Tokens:
        """The module's tokens.

        Raises:
            InputError: It returns something else.
        """
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            returned = self.module(features, mask)
        match returned:
            case (Tensor() as values, Tensor() as real) if (
                values.ndim == 3
                and values.is_floating_point()
                and real.dtype == torch.bool
                and real.shape == values.shape[:2]
                and len(values) == len(features)
            ):
                return Tokens(values, real)
        raise InputError(
            f"the module returned {_described(returned)}",
            where=self._where,
            expected=f"floats [{len(features)}, N, C] and booleans [{len(features)}, N]",
        )


def build_teacher(name: str, config: TeacherConfig) -> StoredTeacher | ModuleTeacher:
    """The teacher of a name.

    Raises:
        InputError: Its module cannot be imported or made.
    """
    if config.module is None:
        return StoredTeacher()
    where = f"slot_alignment: teachers.{name}"
    return ModuleTeacher(_made(config.module, where), learns=config.lr > 0, where=where)


def _made(target: str, where: str) -> nn.Module:
    """Import `package.module:callable` and call it."""
    package, _, attribute = target.partition(":")
    try:
        made: Any = getattr(importlib.import_module(package), attribute)()
    except Exception as error:  # whatever somebody's code raises
        raise InputError(
            f"'{target}' cannot be imported and called ({type(error).__name__}: {error})",
            where=where,
            expected="a callable without arguments that returns a torch.nn.Module",
        ) from error
    if not isinstance(made, nn.Module):
        raise InputError(f"'{target}' returned {_described(made)}", where=where, expected="a torch.nn.Module")
    return made


def _described(returned: object) -> str:
    if isinstance(returned, tuple):
        return "(" + ", ".join(_described(part) for part in returned) + ")"
    if isinstance(returned, Tensor):
        return f"{str(returned.dtype).removeprefix('torch.')} {list(returned.shape)}"
    return f"an object of type {type(returned).__name__}"
