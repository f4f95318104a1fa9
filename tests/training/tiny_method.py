"""A real but tiny method: linear encoders with dropout, a codebook moved by averages, decoders, a critic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from tiny_models import changed_config
from torch import Tensor, nn
from torch.nn import functional as F
from untrained_method import Book, residual_codes

from unicode_cmg.batch import Encoding, FeatureBatch
from unicode_cmg.config import Config
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method
from unicode_cmg.registry import METHODS
from unicode_cmg.training import PretrainConfig

METHODS["tiny"] = ("tiny_method", "Tiny")


class TinyConfig(Config):
    """Sizes of the method."""

    modalities: dict[str, int] = Field(default={"audio": 6, "video": 4}, description="name -> channels")
    dim: int = Field(default=8, ge=1, description="width of the codes")
    num_codes: int = Field(default=12, ge=2, description="codes")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="dropout before the codes")
    ballast: int = Field(
        default=1, ge=1, description="numbers in a buffer that only makes checkpoints larger"
    )


@dataclass(frozen=True)
class TinyRepresentation:
    general: Mapping[str, Tensor]
    indices: Mapping[str, Tensor]


class Tiny(Method[TinyRepresentation]):
    name: ClassVar[str] = "tiny"
    config_class: ClassVar[type[Config]] = TinyConfig
    config: TinyConfig

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        sizes = config.modalities
        self.encoder = nn.ModuleDict({m: nn.Linear(size, config.dim) for m, size in sizes.items()})
        self.decoder = nn.ModuleDict({m: nn.Linear(config.dim, size) for m, size in sizes.items()})
        self.critic = nn.Linear(config.dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.codebook = Book(torch.randn(config.num_codes, config.dim))
        self.register_buffer("ballast", torch.zeros(config.ballast))

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.config.modalities)

    def represent(self, batch: FeatureBatch) -> TinyRepresentation:
        general, indices = {}, {}
        for m, encoder in self.encoder.items():
            x = batch.features[m]
            if x.shape[-1] != encoder.in_features:
                raise InputError(
                    f"{x.shape[-1]} channels", where=f"modality '{m}'", expected=f"{encoder.in_features}"
                )
            general[m] = self.dropout(encoder(x)).float()
            indices[m] = self.codebook.quantize(general[m].detach()).indices[..., 0]
        return TinyRepresentation(general, indices)

    def critic_losses(self, representation: TinyRepresentation) -> dict[str, Tensor]:
        audio, video = (z.detach() for z in representation.general.values())
        return {"critic/audio": F.mse_loss(self.critic(audio), video)}

    def training_losses(
        self,
        batch: FeatureBatch,
        *,
        generator: torch.Generator,
        representation: TinyRepresentation | None = None,
    ) -> dict[str, Tensor]:
        made = representation or self.represent(batch)
        losses = {}
        for m, z in made.general.items():
            codes = self.codebook.embedding[made.indices[m]]
            straight_through = z + (codes - z).detach()
            losses[f"reconstruction/{m}"] = F.mse_loss(self.decoder[m](straight_through), batch.features[m])
            losses[f"commitment/{m}"] = F.mse_loss(z, codes)
        audio, video = made.general.values()
        shuffled = video[torch.randperm(len(video), generator=generator).to(video.device)]
        losses["club"] = F.mse_loss(self.critic(audio), shuffled).neg().exp()
        return losses

    @torch.no_grad()
    def update_codebooks(self, representation: TinyRepresentation, *, generator: torch.Generator) -> None:
        codebook = self.codebook.embedding
        for m, z in representation.general.items():
            noise = 1e-3 * torch.randn(z.shape[-1], generator=generator).to(z.device)
            picked = F.one_hot(representation.indices[m].flatten(), len(codebook)).to(z)
            means = picked.T @ z.flatten(0, 1) / picked.sum(0).clamp(min=1)[:, None]
            codebook.lerp_(torch.where(picked.any(0)[:, None], means + noise, codebook), 0.05)

    def codebook_statistics(self, representation: TinyRepresentation) -> dict[str, float]:
        used = torch.cat([i.flatten() for i in representation.indices.values()]).unique().numel()
        return {"layer0/active": float(used)}

    def trained_modules(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def critic_modules(self) -> dict[str, nn.Module]:
        return {"critic": self.critic}

    def encode_batch(self, modality: str, features: Tensor, mask: Tensor | None = None) -> Encoding:
        return residual_codes(self.encoder[modality](features), [self.codebook])

    def quantized_batches(self, representation: TinyRepresentation) -> dict[str, Any]:
        return {}

    def quantizers(self) -> dict[str, str]:
        return {"layer0": "codebook"}


def write_tiny_store(path: Path, *, clips: int = 22, audio: int = 6, video: int = 4, seed: int = 0) -> Path:
    """A store of noise with something common to both modalities."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((clips, 5, 2))
    features = {
        name: np.concatenate([common, rng.standard_normal((clips, 5, size - 2))], -1).astype(np.float32)
        for name, size in (("audio", audio), ("video", video))
    }
    FeatureStore.write(path, features, [f"clip{i}" for i in range(clips)])
    return path


def tiny_config(store: Path, **changes: Any) -> PretrainConfig:
    """22 clips in batches of 8: three steps an epoch, six in all; `changes` are `section__key=value`."""
    values: dict[str, Any] = {
        "method": {"name": "tiny"},
        "data": {"store": str(store)},
        "optimizer": {"lr": 0.01},
        "critics": {"steps": 2},
        "training": {"epochs": 2, "batch_size": 8, "log_every": 2, "checkpoint_every": 100},
    }
    return changed_config(values, changes)
