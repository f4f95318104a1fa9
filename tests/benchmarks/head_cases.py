"""Heads and losses as one would write them for one seed, beside small coded clips to try them on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.evaluation.heads import Heads, LabelledCodes
from benchmarks.evaluation.localization import LocalizeEvents
from benchmarks.evaluation.objectives import ClassifyClips, Objective

CLASSES, TIME = 3, 4


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def coded_clips(count: int = 30, dims: tuple[int, ...] = (6,), seed: int = 0) -> LabelledCodes:
    """Clips whose class is told by their first code."""
    g = torch.Generator().manual_seed(seed)
    tables = tuple(torch.randn(7 + k, dim, generator=g) for k, dim in enumerate(dims))
    indices = torch.stack([torch.randint(0, len(t), (count, TIME), generator=g) for t in tables], dim=-1)
    return LabelledCodes(tables, indices, indices[:, 0, 0] % CLASSES)


def coded_events(count: int = 30, dims: tuple[int, ...] = (6,), seed: int = 0) -> LabelledCodes:
    """Clips in which the bits of a step's code are its events."""
    clips = coded_clips(count, dims, seed)
    events = torch.stack([clips.indices[..., 0] >> c & 1 for c in range(CLASSES)], dim=-1)
    labels = torch.cat([events, ~events.any(dim=-1, keepdim=True)], dim=-1).float()
    return LabelledCodes(clips.tables, clips.indices, labels)


def dense(data: LabelledCodes) -> Tensor:
    """The code vectors, as an encoder would hand them out."""
    return torch.cat([t[data.indices[..., k]] for k, t in enumerate(data.tables)], dim=-1)


class PlainHead(nn.Module):
    """Two linear layers with the weights of one head of a stack."""

    def __init__(self, heads: Heads, seed: int) -> None:
        super().__init__()
        dim, columns = heads.class_weight.shape[1:]
        self.hidden, self.columns = nn.Linear(dim, dim), nn.Linear(dim, columns)
        with torch.no_grad():
            self.hidden.weight.copy_(heads.hidden_weight[seed])
            self.hidden.bias.copy_(heads.hidden_bias[seed])
            self.columns.weight.copy_(heads.class_weight[seed].T)
            self.columns.bias.copy_(heads.class_bias[seed])


class PlainClassifier(PlainHead):
    """AVE's head and loss."""

    def forward(self, codes: Tensor) -> Tensor:
        return self.columns(self.hidden(codes).max(dim=1).values)

    def loss(self, codes: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self(codes), labels)

    def extra(self) -> list[nn.Parameter]:
        return []


class PlainLocalizer(PlainHead):
    """AVVP's head and loss."""

    def __init__(self, heads: Heads, seed: int) -> None:
        super().__init__(heads, seed)
        self._discounts = [nn.Parameter(torch.full((CLASSES + 1,), 0.1))]

    def forward(self, codes: Tensor) -> Tensor:
        return self.columns(self.hidden(codes))

    def loss(self, codes: Tensor, labels: Tensor) -> Tensor:
        segments, truth = self(codes).flatten(0, 1), labels.flatten(0, 1)
        total = nn.functional.binary_cross_entropy_with_logits(segments, truth)
        shares = segments.softmax(dim=1)
        for c in range(CLASSES + 1):
            surprise = -truth[:, c] * shares[:, c].log()
            total = total + surprise.mean() * torch.exp(-self._discounts[0][c])
        return total

    def extra(self) -> list[nn.Parameter]:
        return self._discounts


@dataclass(frozen=True)
class Case:
    """One objective, its plain counterpart and its data."""

    objective: Objective
    plain: type[PlainHead]
    data: LabelledCodes
    other: LabelledCodes
    """Other clips over the same codes."""

    def stack(self, *seeds: int) -> Heads:
        """Untrained heads."""
        dim = sum(table.shape[1] for table in self.data.tables)
        return Heads.initial(dim, self.objective.columns(CLASSES), generators(*seeds))


def case(kind: str, dims: tuple[int, ...] = (6,), count: int = 30) -> Case:
    """The case "clips" or "events"."""
    make = {"clips": coded_clips, "events": coded_events}[kind]
    data, other = make(count, dims), make(12, dims, seed=1)
    other = LabelledCodes(data.tables, other.indices, other.labels)
    if kind == "clips":
        return Case(ClassifyClips(), PlainClassifier, data, other)
    return Case(LocalizeEvents(), PlainLocalizer, data, other)
