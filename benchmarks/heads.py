"""The AVE head, for all seeds at once: Linear -> maximum over time -> Linear on frozen codes.

The frozen codes of a clip are look-ups in a small codebook, so the first linear map is applied to the
codebook and its rows are looked up afterwards. That is the same head at a fraction of the work, and no code
vector is ever stored for a clip. Heads of different seeds are stacked on a leading axis and share one matrix
product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from unicode_cmg.config import Config


class HeadConfig(Config):
    """How a head is trained."""

    lr: float = Field(4e-4, gt=0, description="Learning rate of Adam.")
    epochs: int = Field(25, ge=1, description="Passes over the training rows.")
    batch_size: int = Field(80, ge=1, description="Clips per step.")
    clip: float = Field(0.5, gt=0, description="Largest L2 norm of a head's gradient.")
    milestones: tuple[int, ...] = Field((), description="Epochs after which the learning rate is halved.")
    select: Literal["best-val", "last"] = Field(
        "best-val",
        description="Keep the epoch that is best on the protocol's selection rows, or the last one.",
    )


@dataclass(frozen=True)
class LabelledCodes:
    """Clips of one modality as frozen codes.

    Attributes:
        tables: For each of K codebook layers, `[U_k, D_k]`: the codewords in use.
        indices: `[N, T, K]` rows of the tables. A step that is not real repeats a real one of its clip, which
            the maximum over time does not notice.
        labels: `[N]` class of each clip.
    """

    tables: tuple[Float[Tensor, "_ _"], ...]
    indices: Int64[Tensor, "clips time layers"]
    labels: Int64[Tensor, " clips"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Heads:
    """S heads `logits = max_t(W1 x_t + b1) W2 + b2`, one per seed (DCID's released `Semantic_Decoder`).

    Attributes:
        hidden_weight: `[S, D, D]`, maps row vectors from the right.
        hidden_bias: `[S, D]`.
        class_weight: `[S, D, C]`.
        class_bias: `[S, C]`.
    """

    hidden_weight: Float[Tensor, "heads dim dim"]
    hidden_bias: Float[Tensor, "heads dim"]
    class_weight: Float[Tensor, "heads dim classes"]
    class_bias: Float[Tensor, "heads classes"]

    @classmethod
    def initial(cls, dim: int, classes: int, generators: Sequence[torch.Generator]) -> Heads:
        """Heads initialised as `torch.nn.Linear` is, each from its own CPU generator."""
        bound = 1 / math.sqrt(dim)

        def draw(*shape: int) -> Tensor:
            return torch.stack([torch.rand(shape, generator=g) * 2 * bound - bound for g in generators])

        return cls(draw(dim, dim), draw(dim), draw(dim, classes), draw(classes))

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        return self.hidden_weight, self.hidden_bias, self.class_weight, self.class_bias

    def logits(
        self,
        tables: Sequence[Float[Tensor, "_ _"]],
        indices: Int64[Tensor, "heads clips time layers"],
    ) -> Float[Tensor, "heads clips classes"]:
        """Class scores; each head looks at its own clips."""
        weights = torch.split(self.hidden_weight, [table.shape[1] for table in tables], dim=1)
        hidden = reduce(
            torch.add,
            (
                _look_up(table @ weight, indices[..., layer])
                for layer, (table, weight) in enumerate(zip(tables, weights, strict=True))
            ),
        )
        pooled = hidden.amax(dim=2) + self.hidden_bias[:, None]
        return torch.baddbmm(self.class_bias[:, None], pooled, self.class_weight)

    @torch.no_grad()
    def predict(
        self, data: LabelledCodes, permutations: Sequence[Int64[Tensor, "heads _"]] | None = None
    ) -> tuple[Int64[Tensor, "heads clips"], Float[Tensor, " heads"]]:
        """Predicted classes and mean cross-entropy of each head.

        Args:
            data: Clips to classify.
            permutations: Per layer, what each head takes code i for; the control experiment of `evaluate`.
        """
        heads = len(self.class_bias)
        predictions, losses = [], []
        for rows in torch.split(torch.arange(len(data), device=data.labels.device), _PREDICT_CLIPS):
            indices = data.indices[rows].expand(heads, -1, -1, -1)
            if permutations is not None:
                indices = torch.stack(
                    [_renamed(p, indices[..., layer]) for layer, p in enumerate(permutations)], dim=-1
                )
            logits = self.logits(data.tables, indices)
            predictions.append(logits.argmax(dim=-1))
            losses.append(_cross_entropy(logits, data.labels[rows].expand(heads, -1)) * len(rows))
        return torch.cat(predictions, dim=1), torch.stack(losses).sum(dim=0) / len(data)


_PREDICT_CLIPS = 512


@dataclass(frozen=True)
class FittedHeads:
    """Trained heads and the epoch (from 1) each of them was taken from."""

    heads: Heads
    epochs: tuple[int, ...]


def fit_heads(
    train: LabelledCodes,
    selection: Mapping[str, LabelledCodes],
    *,
    classes: int,
    seeds: Sequence[int],
    config: HeadConfig,
) -> dict[str, FittedHeads]:
    """Train one head per seed and keep, for each selection set, the epoch in which each head does best on it.

    "Best" is the highest accuracy; of equal ones, the lowest cross-entropy. A head depends on its own seed
    only, not on the others in the stack.

    Args:
        train: Training clips.
        selection: Name -> clips that choose the epoch; looked at, never trained on. Ignored for
            `select="last"`.
        classes: Number of classes.
        seeds: One head each: its initial weights and the order of its batches.
        config: How to train.

    Returns:
        Name of the selection set -> heads.
    """
    device = train.labels.device
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    initial = Heads.initial(sum(table.shape[1] for table in train.tables), classes, generators)
    heads = Heads(*(p.to(device).requires_grad_() for p in initial.parameters))
    optimizer = torch.optim.Adam(heads.parameters, lr=config.lr, fused=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(config.milestones), gamma=0.5)
    best = {name: _Best(heads) for name in selection}
    for epoch in range(1, config.epochs + 1):
        orders = torch.stack([torch.randperm(len(train), generator=g) for g in generators]).to(device)
        for rows in torch.split(orders, config.batch_size, dim=1):
            logits = heads.logits(train.tables, train.indices[rows])
            loss = _cross_entropy(logits, train.labels[rows]).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            _clip_each(heads.parameters, config.clip)
            optimizer.step()
        schedule.step()
        if config.select == "best-val":
            for name, data in selection.items():
                best[name].update(heads, data, epoch)
    if config.select == "last":
        last = FittedHeads(Heads(*(p.detach() for p in heads.parameters)), (config.epochs,) * len(seeds))
        return dict.fromkeys(selection, last)
    return {name: kept.fitted() for name, kept in best.items()}


class _Best:
    """The best epoch so far of every head in a stack."""

    def __init__(self, heads: Heads) -> None:
        self._parameters = [p.detach().clone() for p in heads.parameters]
        device, count = heads.class_bias.device, len(heads.class_bias)
        self._accuracy = torch.full((count,), -1.0, device=device)
        self._loss = torch.full((count,), torch.inf, device=device)
        self._epoch = torch.zeros(count, dtype=torch.int64, device=device)

    @torch.no_grad()
    def update(self, heads: Heads, data: LabelledCodes, epoch: int) -> None:
        predictions, loss = heads.predict(data)
        accuracy = (predictions == data.labels).float().mean(dim=1)
        better = (accuracy > self._accuracy) | ((accuracy == self._accuracy) & (loss < self._loss))
        self._accuracy = torch.where(better, accuracy, self._accuracy)
        self._loss = torch.where(better, loss, self._loss)
        self._epoch = torch.where(better, epoch, self._epoch)
        for kept, new in zip(self._parameters, heads.parameters, strict=True):
            kept[better] = new.detach()[better]

    def fitted(self) -> FittedHeads:
        return FittedHeads(Heads(*self._parameters), tuple(self._epoch.tolist()))


def _look_up(
    table: Float[Tensor, "heads used dim"], indices: Int64[Tensor, "heads clips time"]
) -> Float[Tensor, "heads clips time dim"]:
    """Rows of each head's own table."""
    heads, used, dim = table.shape
    offsets = torch.arange(heads, device=indices.device)[:, None, None] * used
    return functional.embedding(indices + offsets, table.reshape(heads * used, dim))


def _renamed(
    permutation: Int64[Tensor, "heads used"], indices: Int64[Tensor, "heads clips time"]
) -> Int64[Tensor, "heads clips time"]:
    return permutation.gather(1, indices.flatten(1)).view_as(indices)


def _cross_entropy(
    logits: Float[Tensor, "heads clips classes"], labels: Int64[Tensor, "heads clips"]
) -> Float[Tensor, " heads"]:
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape).mean(dim=1)


@torch.no_grad()
def _clip_each(parameters: Sequence[Tensor], largest: float) -> None:
    """Scale the gradient of each head of a stack to a norm of at most `largest`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    scale = (largest / (norms + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))
