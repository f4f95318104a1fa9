"""What slot-guided alignment reads and makes: tokens, their slots, and which slots belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unicode_cmg.layers import SlotAssignment, SlotDecision


@dataclass(frozen=True)
class Tokens:
    """Vectors of the samples of a batch, as a set: their order means nothing.

    Attributes:
        values: `[B, N, C]`.
        mask: `[B, N]` True where a token is real; whatever the others hold has no effect.
    """

    values: Float[Tensor, "batch tokens channels"]
    mask: Bool[Tensor, "batch tokens"]

    def cleared(self) -> Tokens:
        """The same tokens with zeros where none is real."""
        return Tokens(torch.where(self.mask.unsqueeze(2), self.values, 0), self.mask)


@dataclass(frozen=True)
class Decomposition(SlotAssignment, SlotDecision):
    """The slots of one set of tokens, dropped ones too, and which are kept (SGA paper, section 3.2).

    Attributes:
        held: The same slots and attention with the tokens held constant. `keep` is decided on these slots and
            the tokens are rebuilt from them, so that neither moves what the tokens come from.
    """

    held: SlotAssignment


@dataclass(frozen=True)
class Alignment:
    """The slots of the joint tokens and of every teacher, and the pairs among them (SGA paper, section 3.3).

    Attributes:
        joint: Slots of the joint representation.
        teachers: Teacher -> its slots.
        similarity: Teacher -> `[B, L, L]` cosine of its slots (rows) and the joint ones (eq. 1).
        pairs: Teacher -> `[B, L, L]` True for the pairs that are pulled together (eq. 2).
    """

    joint: Decomposition
    teachers: Mapping[str, Decomposition]
    similarity: Mapping[str, Float[Tensor, "batch slots slots"]]
    pairs: Mapping[str, Bool[Tensor, "batch slots slots"]]


@dataclass(frozen=True)
class TokenLayout:
    """What each of N tokens stands for.

    Attributes:
        columns: Names that `column` counts through, of columns of the store or modalities of the method.
        column: `[N]` which of them the token is from.
        step: `[N]` its step; -1 where a teacher's module has made tokens of its own.
        row: `[N]` its row in a grid; -1 without one.
        col: `[N]` its column in a grid; -1 without one.
    """

    columns: tuple[str, ...]
    column: Int64[Tensor, " tokens"]
    step: Int64[Tensor, " tokens"]
    row: Int64[Tensor, " tokens"]
    col: Int64[Tensor, " tokens"]

    @classmethod
    def of_steps(cls, general: Mapping[str, Float[Tensor, "batch _ dim"]]) -> TokenLayout:
        """Of the modalities of a method side by side, a token for each step."""
        steps = [z.shape[1] for z in general.values()]
        return cls(
            columns=tuple(general),
            column=torch.arange(len(steps)).repeat_interleave(torch.tensor(steps)),
            step=torch.cat([torch.arange(count) for count in steps]),
            row=_unknown(sum(steps)),
            col=_unknown(sum(steps)),
        )

    @classmethod
    def of_column(cls, column: str, features: Float[Tensor, "batch time ..."], tokens: int) -> TokenLayout:
        """Of the N tokens that a teacher has made of a column.

        A module may make any number of tokens. As many as there are cells are taken for the cells, else as
        many as there are steps for the steps; what others stand for is not known.

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
        return cls((column,), torch.zeros_like(step), step, row, col)


@dataclass(frozen=True)
class TokenLayouts:
    """What the tokens of an alignment stand for.

    Attributes:
        joint: Of the joint representation.
        teachers: Teacher -> of its tokens.
    """

    joint: TokenLayout
    teachers: Mapping[str, TokenLayout]


def _unknown(tokens: int) -> Int64[Tensor, " tokens"]:
    return torch.full((tokens,), -1)
