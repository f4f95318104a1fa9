"""A method that only encodes: what the tests' small methods share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.methods.base import Method


class Untrained(Method[FeatureBatch]):
    """There is nothing to train; a subclass encodes."""

    def represent(self, batch: FeatureBatch) -> FeatureBatch:
        return batch

    def critic_losses(self, representation: FeatureBatch) -> dict[str, Tensor]:
        return {}

    def training_losses(self, batch: FeatureBatch, **_: Any) -> dict[str, Tensor]:
        return {}

    def update_codebooks(self, representation: FeatureBatch, *, generator: torch.Generator) -> None:
        return

    def codebook_statistics(self, representation: FeatureBatch) -> dict[str, float]:
        return {}

    def trained_modules(self) -> dict[str, nn.Module]:
        return {}

    def critic_modules(self) -> dict[str, nn.Module]:
        return {}
