"""A real method that needs no training: features are turned back into the common space and quantized."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from untrained_method import Untrained

from unicode_cmg.batch import Encoding
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError


class TinyConfig(Config):
    """Sizes, and whether the codebooks are shown; FSQ has none to show."""

    modalities: tuple[str, ...]
    dim: int
    num_codes: int
    layers: int = 1
    shown: bool = True


class TinyMethod(Untrained):
    """`general = features @ map[modality]`, quantized by `layers` codebooks, each on what the last one left.

    Remembers what it was asked to encode, and in which state, so that tests can tell.
    """

    name: ClassVar[str] = "tiny"
    config: TinyConfig

    def __init__(self, config: TinyConfig, maps: dict[str, Tensor], codebooks: list[Tensor]) -> None:
        super().__init__()
        self.config = config
        self.maps = nn.ParameterDict({m: nn.Parameter(w.clone()) for m, w in maps.items()})
        self.books = nn.ParameterList([nn.Parameter(b.clone()) for b in codebooks])
        self.dropout = nn.Dropout(0.5)
        self.encoded: list[tuple[str, int, bool, bool]] = []

    @property
    def modalities(self) -> tuple[str, ...]:
        return self.config.modalities

    def encode(self, modality: str, features: Tensor, mask: Tensor | None = None) -> Encoding:
        self.encoded.append((modality, len(features), self.training, torch.is_grad_enabled()))
        if features.shape[-1] != len(self.maps[modality]):
            raise InputError(
                f"{modality} features have {features.shape[-1]} channels",
                expected=str(len(self.maps[modality])),
            )
        general = self.dropout(features) @ self.maps[modality]
        codes, indices, inputs, rest = [], [], [], general
        for book in self.books:
            chosen = torch.cdist(rest, book).argmin(dim=-1)
            codes.append(book[chosen])
            indices.append(chosen)
            inputs.append(rest)
            rest = rest - book[chosen]
        return Encoding(
            general, torch.cat(codes, -1), torch.stack(indices, -1), unquantized=torch.cat(inputs, -1)
        )

    def code_layers(self) -> dict[str, int]:
        return {f"layer{i}": len(book) for i, book in enumerate(self.books)}

    def codebooks(self) -> dict[str, Tensor]:
        return {f"layer{i}": book.detach() for i, book in enumerate(self.books) if self.config.shown}

    def codebook_keys(self) -> dict[str, str]:
        return {layer: f"books.{i}" for i, layer in enumerate(self.codebooks())}
