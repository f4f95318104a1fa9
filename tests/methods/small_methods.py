"""Small methods with text in context, and batches with padding."""

from __future__ import annotations

from typing import Any

import torch

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.methods import method_class
from unicode_cmg.methods.base import Method

SMALL = {
    "dim": 8,
    "num_codes": 12,
    "heads": 2,
    "transformer_layers": 1,
    "feedforward": 16,
    "pooling_dim": 4,
    "critic_hidden": 8,
    "dropout": 0.0,
}
MODALITIES: dict[str, dict[str, Any]] = {
    "audio": {"dim": 6},
    "video": {"dim": 3, "grid": [5, 5], "specific_dim": 4},
    "text": {"dim": 5, "context": 4},
}


def made(name: str) -> Method[Any]:
    extra = {"fcid": {"fine": ["video", "audio"], "coarse": ["text"]}}.get(name, {})
    cls = method_class(name)
    return cls(cls.config_class(**SMALL, modalities=MODALITIES, **extra)).train()


def batch(seed: int, clips: int = 4) -> FeatureBatch:
    """Clips whose last steps are padding in some modalities."""
    g = torch.Generator().manual_seed(seed)
    shapes = {"audio": (6,), "video": (5, 5, 3), "text": (5,)}
    whole = FeatureBatch.of({m: torch.randn(clips, 6, *shape, generator=g) for m, shape in shapes.items()})
    masks = {m: mask & (torch.arange(6) < 6 - k) for k, (m, mask) in enumerate(whole.masks.items())}
    return FeatureBatch(whole.features, masks)
