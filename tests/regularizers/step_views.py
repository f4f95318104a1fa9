"""Real methods, tiny, and what a step of theirs shows to regularizers."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from tiny_models import model_of
from torch import Tensor

from unicode_cmg.batch import FeatureBatch, StepView
from unicode_cmg.methods.base import Method

MODALITIES: dict[str, dict[str, Any]] = {
    "audio": {"dim": 6},
    "video": {"dim": 4, "grid": [3, 3]},
    "text": {"dim": 5, "context": 8},
    "depth": {"dim": 3},
}
METHODS = ("dcid", "hdcid", "fcid")


def method_of(name: str, modalities: int = 3) -> Method[Any]:
    chosen = dict(islice(MODALITIES.items(), modalities))
    extra: dict[str, Any] = {"hdcid": {"warm_start_epochs": 0}}.get(name, {})
    if name == "fcid":
        extra = {"fine": ["audio", "video"], "coarse": list(chosen)[2:]}
    return model_of(name, chosen, **extra)


def batch_of(method: Method[Any], clips: int = 4, seed: int = 0) -> FeatureBatch:
    """Clips of 5 steps, of which the last ones of the first clip are padding."""
    generator = torch.Generator().manual_seed(seed)
    batch = FeatureBatch.of(
        {
            m: torch.randn(clips, 5, *spec.get("grid", ()), spec["dim"], generator=generator)
            for m, spec in MODALITIES.items()
            if m in method.modalities
        }
    )
    for m, mask in batch.masks.items():
        mask[0, 3:] = False
        batch.features[m][0, 3:] = 0
    return batch


def view_of(method: Method[Any], clips: int = 4, seed: int = 0) -> StepView:
    batch = batch_of(method, clips, seed)
    return method.view(batch, method.represent(batch))


def with_noise_in_the_padding(view: StepView) -> StepView:
    """The same view, but NaN wherever a step is not valid."""

    def spoilt(x: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask.view(*mask.shape, *[1] * (x.ndim - 2)), x, torch.nan)

    return replace(
        view,
        features={m: spoilt(x, view.masks[m]) for m, x in view.features.items()},
        general={m: spoilt(x, view.masks[m]) for m, x in view.general.items()},
        codes={m: spoilt(x, view.code_masks[m]) for m, x in view.codes.items()},
    )


def gradients(method: Method[Any]) -> dict[str, Tensor]:
    """Parameters that a backward pass reached."""
    return {n: p.grad for n, p in method.named_parameters() if p.grad is not None and p.grad.ne(0).any()}
