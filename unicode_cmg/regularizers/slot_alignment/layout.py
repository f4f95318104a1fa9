"""Where tokens come from: the step and the cell of a grid that each of them stands for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unicode_cmg.regularizers.slot_alignment.records import TokenLayout


def joint_layout(general: Mapping[str, Float[Tensor, "batch _ dim"]]) -> TokenLayout:
    """Of the modalities of a method side by side, a token for each step."""
    steps = [z.shape[1] for z in general.values()]
    return TokenLayout(
        columns=tuple(general),
        column=torch.arange(len(steps)).repeat_interleave(torch.tensor(steps)),
        step=torch.cat([torch.arange(count) for count in steps]),
        row=_unknown(sum(steps)),
        col=_unknown(sum(steps)),
    )


def column_layout(column: str, features: Float[Tensor, "batch time ..."], tokens: int) -> TokenLayout:
    """Of the N tokens that a teacher has made of a column.

    A module may make any number of tokens. As many as there are cells are taken for the cells, else as many
    as there are steps for the steps; what others stand for is not known.

    Args:
        column: The column.
        features: Its features.
        tokens: N.
    """
    steps, grid = features.shape[1], features.shape[2:-1]
    step, row, col = (_unknown(tokens) for _ in range(3))
    if len(grid) == 2 and tokens == steps * grid.numel():
        step, row, col = torch.cartesian_prod(*(torch.arange(size) for size in (steps, *grid))).unbind(1)
    elif tokens == steps:
        step = torch.arange(steps)
    return TokenLayout((column,), torch.zeros_like(step), step, row, col)


def _unknown(tokens: int) -> Int64[Tensor, " tokens"]:
    return torch.full((tokens,), -1)
