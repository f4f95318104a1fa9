"""A real method that needs no training: features are turned back into the common space and quantized."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from untrained_method import Book, Untrained, residual_codes

from unicode_cmg.batch import Encoding
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError


class TinyConfig(Config):
    """Sizes."""

    modalities: tuple[str, ...]
    dim: int
    num_codes: int
    layers: int = 1


class TinyMethod(Untrained):
    """`general = features @ map[modality]`, quantized by `layers` codebooks, each on what the last one left.

    Remembers what it was asked to encode, and in which state, so that tests can tell.
    """

    name: ClassVar[str] = "tiny"
    config: TinyConfig

    def __init__(self, config: TinyConfig, maps: dict[str, Tensor], codebooks: list[Tensor]) -> None:
        super().__init__(config)
        self.maps = nn.ParameterDict({m: nn.Parameter(w.clone()) for m, w in maps.items()})
        self.books = nn.ModuleList(Book(book) for book in codebooks)
        self.dropout = nn.Dropout(0.5)
        self.encoded: list[tuple[str, int, bool, bool]] = []

    @property
    def modalities(self) -> tuple[str, ...]:
        return self.config.modalities

    def encode_batch(self, modality: str, features: Tensor, mask: Tensor | None = None) -> Encoding:
        self.encoded.append((modality, len(features), self.training, torch.is_grad_enabled()))
        if features.shape[-1] != len(self.maps[modality]):
            raise InputError(
                f"{modality} features have {features.shape[-1]} channels",
                expected=str(len(self.maps[modality])),
            )
        return residual_codes(self.dropout(features) @ self.maps[modality], self.books)

    def quantizers(self) -> dict[str, str]:
        return {f"layer{i}": f"books.{i}" for i in range(len(self.books))}

    def hide_codebooks(self) -> None:
        """From now on no codes are looked up in codebooks, as with finite scalars."""
        for book in self.books:
            book.shown = False
