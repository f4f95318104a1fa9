"""Small models of every method, batches of noise for them, and changes to the settings of their runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.methods import method_class
from unicode_cmg.training import PretrainConfig

SIZES: dict[str, Any] = {
    "dim": 8,
    "num_codes": 12,
    "heads": 2,
    "feedforward": 16,
    "pooling_dim": 4,
    "critic_hidden": 8,
}
SPEECH = {"dim": 5}
IMAGE = {"dim": 4, "grid": (7, 7)}
WORDS = {"dim": 6, "context": 8}
TOUCH = {"dim": 3}
QUANTIZERS: dict[str, dict[str, Any]] = {
    "mm_ema": {"quantizer": "mm_ema"},
    "rvq": {"quantizer": "rvq", "codebooks": 2},
    "fsq": {"quantizer": "fsq", "levels": [3, 3, 4]},
}


def values_of(method: str, modalities: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Settings of a small model; FCID has no transformer."""
    layers = {} if method == "fcid" else {"transformer_layers": 1}
    return {**SIZES, **layers, "modalities": modalities, **settings}


def model_of(method: str, modalities: dict[str, Any], **settings: Any) -> Any:
    torch.manual_seed(0)
    return method_class(method).from_values(values_of(method, modalities, **settings), where="test")


def changed_config(values: dict[str, Any], changes: Mapping[str, Any]) -> PretrainConfig:
    """Settings of a run; `changes` are `section` -> value or `section__key` -> value."""
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            values.setdefault(section, {})[name] = value
        else:
            values[section] = value
    return PretrainConfig.parse(values, where="test")


def batch_of(model: Any, clips: int = 3, steps: int = 4, seed: int = 0, **lengths: int) -> FeatureBatch:
    """As many steps of every modality, or of one as `lengths` says."""
    generator = torch.Generator().manual_seed(seed)
    return FeatureBatch.of(
        {
            m: torch.randn(clips, lengths.get(m, steps), *(spec.grid or ()), spec.dim, generator=generator)
            for m, spec in model.config.modalities.items()
        }
    )


def losses_of(model: Any, batch: FeatureBatch, seed: int = 0, **options: Any) -> dict[str, Tensor]:
    return model.training_losses(batch, generator=torch.Generator().manual_seed(seed), **options)


def layer_terms(modalities: tuple[str, ...], layer: str = "") -> set[str]:
    """The loss terms of one code layer of DCID or H-DCID; `layer` is "" or "/layer1" and so on."""
    single = {f"{kind}{layer}/{m}" for kind in ("reconstruction", "commitment", "club") for m in modalities}
    return single | {f"cpc{layer}", f"cmcm{layer}"}
