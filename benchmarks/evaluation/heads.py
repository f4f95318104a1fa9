"""Heads on frozen codes, for all seeds at once: Linear -> Linear, for each clip or for each of its steps.

The frozen codes of a clip are look-ups in a small table, so linear maps are applied to the table and its rows
are looked up afterwards. That is the same head at a fraction of the work, and no code vector is ever stored
for a clip. Heads of different seeds are stacked on a leading axis and share one matrix product. Of the steps
of a clip, only the one with the maximum receives a gradient, which the backward pass exploits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor
from torch.nn import functional

Tables = Sequence[Float[Tensor, "... _ _"]]
Indices = Int64[Tensor, "heads clips time layers"]


@dataclass(frozen=True)
class LabelledCodes:
    """Clips of one modality as frozen codes.

    Attributes:
        tables: For each of K code layers, `[U_k, D_k]`: the codewords in use; `[S, U_k, D_k]` where each of S
            heads sees others.
        indices: `[N, T, K]` rows of the tables. A step that is not real repeats a real one of its clip, which
            the maximum over time does not notice.
        labels: `[N, ...]` what is true of each clip, in the form that the objective of the heads asks for.
    """

    tables: tuple[Float[Tensor, "... _ _"], ...]
    indices: Int64[Tensor, "clips time layers"]
    labels: Shaped[Tensor, " clips *axes"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def dim(self) -> int:
        """Numbers a head sees of a step."""
        return sum(table.shape[-1] for table in self.tables)

    def seen(self, rows: Int64[Tensor, "heads clips"]) -> tuple[Tables, Indices]:
        """The clips that each head looks at."""
        return self.tables, self.indices[rows]

    def seen_by_all(self, rows: Int64[Tensor, " clips"], heads: int) -> tuple[Tables, Indices]:
        """The same clips for every head."""
        return self.tables, self.indices[rows].expand(heads, -1, -1, -1)


@dataclass(frozen=True)
class LabelledVectors:
    """Clips of one modality as vectors that are not quantized, for the same heads.

    Attributes:
        values: `[N, T, D]`. A step that is not real repeats a real one of its clip.
        labels: `[N, ...]` as of `LabelledCodes`.
    """

    values: Float[Tensor, "clips time dim"]
    labels: Shaped[Tensor, " clips *axes"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def dim(self) -> int:
        """Numbers a head sees of a step."""
        return self.values.shape[-1]

    def seen(self, rows: Int64[Tensor, "heads clips"]) -> tuple[Tables, Indices]:
        """The clips that each head looks at, as tables that hold each step of theirs once."""
        steps = torch.arange(rows.shape[1] * self.values.shape[1], device=rows.device)
        indices = steps.view(1, rows.shape[1], -1, 1).expand(len(rows), -1, -1, -1)
        return (self.values[rows].flatten(1, 2),), indices

    def seen_by_all(self, rows: Int64[Tensor, " clips"], heads: int) -> tuple[Tables, Indices]:
        """The same clips for every head."""
        (table,), indices = self.seen(rows[None])
        return (table[0],), indices.expand(heads, -1, -1, -1)


Labelled = LabelledCodes | LabelledVectors
"""What heads learn on and are judged on."""


@dataclass(frozen=True)
class Heads:
    """S heads of two linear maps, one per seed as in the released code.

    Attributes:
        hidden_weight: `[S, H, D]`, as `torch.nn.Linear` has it.
        hidden_bias: `[S, H]`.
        class_weight: `[S, H, C]`, maps row vectors from the right.
        class_bias: `[S, C]`.
    """

    hidden_weight: Float[Tensor, "heads hidden dim"]
    hidden_bias: Float[Tensor, "heads hidden"]
    class_weight: Float[Tensor, "heads hidden columns"]
    class_bias: Float[Tensor, "heads columns"]

    @classmethod
    def initial(
        cls, dim: int, columns: int, generators: Sequence[torch.Generator], hidden: int | None = None
    ) -> Heads:
        """Heads initialised as `torch.nn.Linear` is, each from its own CPU generator.

        Args:
            dim: Numbers of a step.
            columns: Logits.
            generators: One for each head.
            hidden: Width between the two maps; `dim` by default.
        """
        width = dim if hidden is None else hidden

        def draw(fan_in: int, *shape: int) -> Tensor:
            bound = 1 / math.sqrt(fan_in)
            return torch.stack([torch.rand(shape, generator=g) * 2 * bound - bound for g in generators])

        return cls(
            draw(dim, dim, width).mT.contiguous(),
            draw(dim, width),
            draw(width, width, columns),
            draw(width, columns),
        )

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        return self.hidden_weight, self.hidden_bias, self.class_weight, self.class_bias

    def clip_logits(self, tables: Tables, indices: Indices) -> Float[Tensor, "heads clips columns"]:
        """`max_t(W1 x_t + b1) W2 + b2`, one row a clip; each head looks at its own clips."""
        if indices.shape[2] == 1:  # nothing to take the maximum of
            return self.step_logits(tables, indices)[:, :, 0]
        pooled: Tensor = _Pooled.apply(self.hidden_weight, indices, *tables)  # type: ignore[no-untyped-call]
        biased = pooled + self.hidden_bias[:, None]
        return torch.baddbmm(self.class_bias[:, None], biased, self.class_weight)

    def step_logits(self, tables: Tables, indices: Indices) -> Float[Tensor, "heads clips time columns"]:
        """`(W1 x_t + b1) W2 + b2`, one row a step.

        Nothing stands between the two maps, so they are multiplied first.
        """
        rows = _rows(tables, self.hidden_weight.mT @ self.class_weight)
        scores = reduce(torch.add, (_looked_up(r, indices[..., k]) for k, r in enumerate(rows)))
        bias = torch.baddbmm(self.class_bias[:, None], self.hidden_bias[:, None], self.class_weight)
        return scores + bias[:, None]


def _rows(tables: Tables, weight: Float[Tensor, "heads dim out"]) -> list[Float[Tensor, "heads used out"]]:
    """The codes of each code layer under the map of each head; those of a step are to be added."""
    parts = torch.split(weight, [table.shape[-1] for table in tables], dim=1)
    return [table @ part for table, part in zip(tables, parts, strict=True)]


def _looked_up(
    rows: Float[Tensor, "heads used out"], indices: Int64[Tensor, "heads clips time"]
) -> Float[Tensor, "heads clips time out"]:
    offsets = torch.arange(len(rows), device=indices.device)[:, None, None] * rows.shape[1]
    return functional.embedding(indices + offsets, rows.flatten(0, 1))


class _Pooled(torch.autograd.Function):
    """`max_t W x_t` of the codes x_t of each clip, `[S, N, H]`.

    The gradient of row h of a head's `W` is a sum over clips: the gradient of the clip, times the code of the
    step that reaches the maximum h. So it takes N of the N T codes, as a weighted sum of rows of the tables,
    and no matrix product. Of steps that are equal, as those with the same code are, one stands for all.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Float[Tensor, "heads hidden dim"], indices: Indices, *tables: Tensor
    ) -> Float[Tensor, "heads clips hidden"]:
        rows = _rows(tables, weight.mT)
        small = torch.uint8 if indices.shape[2] <= 256 else torch.int32
        numbers = torch.arange(indices.shape[2], dtype=small, device=indices.device)[:, None]
        pooled, steps = [], []
        for head, own in enumerate(indices):  # one at a time stays in the processor's cache
            scores = functional.embedding(own[..., 0], rows[0][head])
            for k in range(1, len(tables)):
                scores += functional.embedding(own[..., k], rows[k][head])
            pooled.append(scores.amax(dim=1))
            if ctx.needs_input_grad[0]:
                steps.append(((scores == pooled[-1][:, None]) * numbers).amax(dim=1))
        if steps:
            ctx.save_for_backward(torch.stack(steps), indices, *tables)
        return torch.stack(pooled)

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "heads clips hidden"]) -> tuple[Tensor | None, ...]:
        steps, indices, *tables = ctx.saved_tensors
        heads, _, hidden = steps.shape
        steps, shares = steps.long(), gradient.mT.reshape(heads * hidden, -1)
        parts = []
        for k, table in enumerate(tables):
            codes = indices[..., k].int().gather(2, steps).mT
            if table.ndim == 3:  # a table for each head
                codes = codes + table.shape[1] * torch.arange(heads, device=codes.device)[:, None, None].int()
                table = table.flatten(0, 1)
            sums = functional.embedding_bag(
                codes.reshape(heads * hidden, -1), table, mode="sum", per_sample_weights=shares
            )
            parts.append(sums.view(heads, hidden, -1))
        return torch.cat(parts, dim=2), *[None] * (1 + len(tables))
