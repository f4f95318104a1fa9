"""What the tests' small methods share: a method that only encodes, and a codebook that nothing moves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch
from unicode_cmg.codebook import Lookup, Quantized, Quantizer
from unicode_cmg.methods.base import Method


class Untrained(Method[FeatureBatch]):
    """There is nothing to train; a subclass encodes."""

    def represent(self, batch: FeatureBatch) -> FeatureBatch:
        return batch

    def critic_losses(self, representation: FeatureBatch) -> dict[str, Tensor]:
        return {}

    def training_losses(self, batch: FeatureBatch, **_: Any) -> dict[str, Tensor]:
        return {}

    def quantized_batches(self, representation: FeatureBatch) -> dict[str, Any]:
        return {}

    def trained_modules(self) -> dict[str, nn.Module]:
        return {}

    def critic_modules(self) -> dict[str, nn.Module]:
        return {}


class Book(Quantizer):
    """One codebook; with `shown = False` its codes count as not looked up in one."""

    def __init__(self, embedding: Tensor) -> None:
        super().__init__()
        self.register_buffer("embedding", embedding.clone())
        self.shown = True

    def quantize(self, z: Tensor) -> Quantized:
        distances = (z.unsqueeze(-2) - self.embedding).square().sum(-1)
        indices = distances.argmin(-1)
        words = self.embedding[indices]
        return Quantized(words, (Lookup(z, words, indices, distances),))

    def update(self, *_: Any, **__: Any) -> None:
        return

    @property
    def sizes(self) -> tuple[int, ...]:
        return (len(self.embedding),)

    def codebook_keys(self) -> tuple[str, ...]:
        return ("embedding",) if self.shown else ()


def residual_codes(general: Tensor, books: Iterable[nn.Module], *, rounded: bool = False) -> Encoding:
    """Each book quantizes what those before it left; `rounded` codes are inexact."""
    found, codes, left = [], [], general
    for book in books:
        found.append(book.quantize(left))
        words = found[-1].codewords
        codes.append(left + (words - left) if rounded else words)
        left = left - words
    return Encoding(
        general,
        torch.cat(codes, -1),
        torch.cat([q.indices for q in found], -1),
        unquantized=torch.cat([q.lookups[0].unquantized for q in found], -1),
    )
