"""A real method that needs no training: a linear map, then codewords on what earlier ones left over."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from untrained_method import Book, Untrained, residual_codes

from unicode_cmg.batch import Encoding
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError


class LookupConfig(Config):
    """Modality name -> channels, and sizes."""

    modalities: dict[str, int]
    dim: int = 4
    num_codes: int = 7
    stages: int = 1
    seed: int = 0


class Lookup(Untrained):
    """`general = dropout(features) @ map[modality]`, quantized by `stages` codebooks in a row."""

    name: ClassVar[str] = "lookup"
    config: LookupConfig

    def __init__(self, config: LookupConfig) -> None:
        super().__init__(config)
        rng = torch.Generator().manual_seed(config.seed)
        self.maps = nn.ParameterDict(
            {m: nn.Parameter(torch.randn(c, config.dim, generator=rng)) for m, c in config.modalities.items()}
        )
        shape = (config.num_codes, config.dim)
        self.books = nn.ModuleList(
            Book(torch.randn(shape, generator=rng) / (k + 1)) for k in range(config.stages)
        )
        self.dropout = nn.Dropout(0.5)
        self.seen: list[tuple[str, int, bool, torch.dtype]] = []

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.config.modalities)

    def encode_batch(self, modality: str, features: Tensor, mask: Tensor | None = None) -> Encoding:
        self.seen.append((modality, len(features), self.training, features.dtype))
        if features.shape[-1] != self.config.modalities[modality]:
            raise InputError(
                f"{features.shape[-1]} channels", where="model", expected="others", fix="mend it"
            )
        return residual_codes(self.dropout(features) @ self.maps[modality], self.books, rounded=True)

    def quantizers(self) -> dict[str, str]:
        if len(self.books) == 1:
            return {"layer0": "books.0"}
        return {f"layer0.{k}": f"books.{k}" for k in range(len(self.books))}


class LookupWithLevels(Lookup):
    """The same with one code for a whole clip, or one a step."""

    name: ClassVar[str] = "lookup-levels"
    levels: ClassVar[tuple[str, ...]] = ("clip", "segment")

    def encode_batch(
        self, modality: str, features: Tensor, mask: Tensor | None = None, level: str = "segment"
    ) -> Encoding:
        if level == "clip":
            valid = torch.ones_like(features[..., 0]) if mask is None else mask.to(features)
            weight = valid / valid.sum(1, keepdim=True)
            return super().encode_batch(modality, (features * weight[..., None]).sum(1, keepdim=True))
        return super().encode_batch(modality, features, mask)
