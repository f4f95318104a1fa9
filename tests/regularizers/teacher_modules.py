"""Modules that a configuration names as teachers, good and bad."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Summary(nn.Module):
    """Every step through a linear layer with dropout, and one token for the whole clip before them."""

    def __init__(self, channels: int = 6, dim: int = 7) -> None:
        super().__init__()
        self.project = nn.Linear(channels, dim)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.dropout(self.project(torch.where(mask.unsqueeze(2), features, 0)))
        whole = tokens.mean(1, keepdim=True)
        return torch.cat([whole, tokens], 1), torch.cat([mask.any(1, keepdim=True), mask], 1)


class Forgetful(nn.Module):
    """Returns no mask."""

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return features


def broken() -> nn.Module:
    raise RuntimeError("no weights here")


def number() -> int:
    return 3
