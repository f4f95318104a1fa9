"""One step of the training of the released H-DCID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.methods.dcid import Draws
from unicode_cmg.methods.hdcid import HDCID

DEEPER_WEIGHT = 0.3
WARM_EPOCHS = 3


@dataclass(frozen=True)
class StepRecord:
    """What one step computed on its way; gradients and norms are those before clipping."""

    losses: dict[str, Tensor]
    critic_losses: dict[str, float]
    total: Tensor
    gradients: dict[str, float]
    norms: dict[str, float]


def released_step(
    model: HDCID,
    batch: FeatureBatch,
    epoch: int,
    *,
    generator: torch.Generator,
    draws: Sequence[Draws] | None = None,
) -> StepRecord:
    """Encode, train the critics and move both codebooks, five times; then encode, learn, move them again."""
    optimizer = torch.optim.Adam(model.trained_parameters(), lr=4e-4)
    critics = torch.optim.Adam(model.critic_parameters(), lr=1e-3)
    model.begin_step(step=0, epoch=epoch)
    critic_losses: dict[str, Tensor] = {}
    for _ in range(5):
        representation = model.represent(batch)
        critics.zero_grad()
        critic_losses = model.critic_losses(representation)
        sum(critic_losses.values()).backward()
        critics.step()
        model.update_codebooks(representation, generator=generator)
    representation = model.represent(batch)
    losses = model.training_losses(batch, generator=generator, representation=representation, draws=draws)
    total = sum(loss for name, loss in losses.items() if "layer1" not in name)
    if epoch >= WARM_EPOCHS:
        total = total + DEEPER_WEIGHT * sum(loss for name, loss in losses.items() if "layer1" in name)
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
