"""A real method that needs no training: a linear map, then codewords on what earlier ones left over."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from untrained_method import Untrained

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
        super().__init__()
        self.config = config
        rng = torch.Generator().manual_seed(config.seed)
        self.maps = nn.ParameterDict(
            {m: nn.Parameter(torch.randn(c, config.dim, generator=rng)) for m, c in config.modalities.items()}
        )
        shape = (config.num_codes, config.dim)
        self.books = nn.ParameterList(
            [nn.Parameter(torch.randn(shape, generator=rng) / (k + 1)) for k in range(config.stages)]
        )
        self.dropout = nn.Dropout(0.5)
        self.seen: list[tuple[str, int, bool, torch.dtype]] = []

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.config.modalities)

    def encode(self, modality: str, features: Tensor, mask: Tensor | None = None) -> Encoding:
        self.seen.append((modality, len(features), self.training, features.dtype))
        if features.shape[-1] != self.config.modalities[modality]:
            raise InputError(
                f"{features.shape[-1]} channels", where="model", expected="others", fix="mend it"
            )
        left = general = self.dropout(features) @ self.maps[modality]
        codes, indices, inputs = [], [], []
        for book in self.books:
            chosen = (left.unsqueeze(-2) - book).square().sum(-1).argmin(-1)
            codes.append(left + (book[chosen] - left))
            indices.append(chosen)
            inputs.append(left)
            left = left - book[chosen]
        return Encoding(
            general, torch.cat(codes, -1), torch.stack(indices, -1), unquantized=torch.cat(inputs, -1)
        )

    def code_layers(self) -> dict[str, int]:
        names = [f"layer0.{k}" for k in range(len(self.books))] if len(self.books) > 1 else ["layer0"]
        return dict.fromkeys(names, self.config.num_codes)

    def codebooks(self) -> dict[str, Tensor]:
        return dict(zip(self.code_layers(), self.books, strict=True))

    def codebook_keys(self) -> dict[str, str]:
        return {name: f"books.{k}" for k, name in enumerate(self.code_layers())}


class LookupWithLevels(Lookup):
    """The same with one code for a whole clip, or one a step."""

    name: ClassVar[str] = "lookup-levels"
    levels: ClassVar[tuple[str, ...]] = ("clip", "segment")

    def encode(
        self, modality: str, features: Tensor, mask: Tensor | None = None, level: str = "segment"
    ) -> Encoding:
        if level == "clip":
            valid = torch.ones_like(features[..., 0]) if mask is None else mask.to(features)
            weight = valid / valid.sum(1, keepdim=True)
            return super().encode(modality, (features * weight[..., None]).sum(1, keepdim=True))
        return super().encode(modality, features, mask)
