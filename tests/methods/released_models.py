"""The released models of the golden files, rebuilt through the public API, and a step of their training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from places import GOLDEN
from torch import Tensor, nn

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.checkpoints.released import LAYOUTS
from unicode_cmg.methods import method_class
from unicode_cmg.methods.base import Method
from unicode_cmg.methods.hdcid import HDCID


@cache
def golden(name: str) -> dict[str, np.ndarray]:
    """All arrays of one golden file; shared by tests, so not to be changed."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def golden_parameters(method: str) -> dict[str, Tensor]:
    """`<Module>/<key>` -> tensor of a whole released model."""
    arrays = golden(f"{method}_params_public").items()
    return {key: torch.tensor(array) for key, array in arrays if not key.startswith("meta/")}


def from_released(method: str, tensors: Mapping[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """Configuration of a released model, and the part of its state that the tensors give."""
    values, state = LAYOUTS[method].from_released(tensors)
    return method_class(method).config_class.parse(values, where="test"), state


def released_model(method: str) -> Any:
    """The model of the golden parameters, in float64 and without dropout."""
    config, state = from_released(method, golden_parameters(method))
    model = method_class(method)(config.model_copy(update={"dropout": 0.0})).double()
    model.load_state_dict(state, strict=True)
    return model


def golden_batch(arrays: dict[str, np.ndarray]) -> FeatureBatch:
    """The inputs of a golden file."""
    return FeatureBatch.of(
        {
            "audio": torch.from_numpy(arrays["in/audio"]),
            "video": torch.from_numpy(arrays["in/video"]),
            "text": torch.from_numpy(arrays["in/text_raw"]),
        }
    )


@dataclass(frozen=True)
class StepRecord:
    """What one step computed on its way; gradients and norms are those before clipping."""

    losses: dict[str, Tensor]
    critic_losses: dict[str, float]
    total: Tensor
    gradients: dict[str, float]
    norms: dict[str, float]


def released_step(
    model: Method[Any],
    batch: FeatureBatch,
    *,
    epoch: int = 0,
    draws: Any = None,
    generator: torch.Generator | None = None,
) -> StepRecord:
    """One training step as released: five critic updates, backward, clip by module, Adam, MM-EMA.

    H-DCID encodes again for every one of the six updates, and each encoding moves both codebooks. Its second
    code layer counts 0.3, and from the fourth epoch on.
    """
    generator = generator or torch.Generator()
    repeats = isinstance(model, HDCID)
    optimizer = torch.optim.Adam(model.trained_parameters(), lr=4e-4)
    critics = torch.optim.Adam(model.critic_parameters(), lr=1e-3)
    model.begin_step(step=0, epoch=epoch)
    representation = model.represent(batch)
    critic_losses: dict[str, Tensor] = {}
    for _ in range(5):
        critics.zero_grad()
        critic_losses = model.critic_losses(representation)
        sum(critic_losses.values()).backward()
        critics.step()
        if repeats:
            model.update_codebooks(representation, generator=generator)
            representation = model.represent(batch)

    losses = model.training_losses(batch, generator=generator, representation=representation, draws=draws)
    weights = {name: (0.3 if epoch >= 3 else 0.0) if "layer1" in name else 1.0 for name in losses}
    total = sum(weights[name] * loss for name, loss in losses.items() if weights[name])
    optimizer.zero_grad()
    total.backward()
    gradients = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    norms = {
        name: nn.utils.clip_grad_norm_(module.parameters(), 0.5).item()
        for name, module in model.trained_modules().items()
    }
    optimizer.step()
    model.update_codebooks(representation, generator=generator)
    return StepRecord(
        losses, {name: loss.item() for name, loss in critic_losses.items()}, total, gradients, norms
    )


def relative_error(ours: Tensor, theirs: np.ndarray | float) -> float:
    """Largest difference over the largest magnitude."""
    expected = torch.as_tensor(theirs, dtype=torch.float64)
    return float((ours.detach().double() - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
