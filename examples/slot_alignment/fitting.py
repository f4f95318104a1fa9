"""What both examples share: a training loop as the SGA paper's, and its terms beside those of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from unicode_cmg.config import apply_overrides
from unicode_cmg.regularizers.slot_alignment import AlignerConfig, SlotAligner, Tokens

ModuleT = TypeVar("ModuleT", bound=nn.Module)
PRINTED = 5


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: AdamW, whose rate rises in a straight line over the first share of the steps.

    Attributes:
        steps: Training steps.
        batch_size: Samples in a step.
        lr: Learning rate after the warm-up; it stays.
        weight_decay: Decoupled weight decay.
        warmup: Share of the steps, 0 to 1.
    """

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 1e-2
    warmup: float = 0.1


def fit(
    modules: Sequence[nn.Module],
    objective: Callable[[Int64[Tensor, " batch"]], Mapping[str, Tensor]],
    *,
    samples: int,
    recipe: Recipe,
    generator: torch.Generator,
    title: str | None = None,
) -> list[float]:
    """Train modules, and print five lines on the way if there is a title.

    Args:
        modules: What is trained, as far as it requires gradients.
        objective: From the indices of a batch to the terms whose sum is made small, factors included.
        samples: How many samples batches are drawn from.
        recipe: Steps, batch size and optimizer.
        generator: CPU generator of the batches.
        title: What to print before each line.

    Returns:
        The sum of the terms in each step.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimizer = AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    rising = max(recipe.warmup * recipe.steps, 1)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / rising, 1.0))
    for module in modules:
        module.train()
    sums, since = [], dict[str, list[float]]()
    for step in range(1, recipe.steps + 1):
        terms = objective(torch.randperm(samples, generator=generator)[: recipe.batch_size])
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        for name, term in {"total": total, **terms}.items():
            since.setdefault(name, []).append(term.item())
        sums.append(since["total"][-1])
        if step * PRINTED // recipe.steps > (step - 1) * PRINTED // recipe.steps:
            if title is not None:
                means = "  ".join(f"{name} {sum(values) / len(values):.3f}" for name, values in since.items())
                print(f"{title}  step {step}  {means}", flush=True)
            since.clear()
    return sums


def frozen(module: ModuleT) -> ModuleT:
    """The module, never to be trained again."""
    return module.eval().requires_grad_(False)


def aligner_config(overrides: Sequence[str], *, slots: int) -> AlignerConfig:
    """Settings of the alignment: the defaults with so many slots, and `key=value` changes.

    Raises:
        InputError: A key is unknown or a value does not fit.
    """
    return AlignerConfig.parse(apply_overrides({"slots": slots}, overrides), where="--set")


def unpadded(values: Float[Tensor, "batch tokens channels"]) -> Tokens:
    """Tokens without padding."""
    return Tokens(values, torch.ones_like(values[..., 0], dtype=torch.bool))


def joint_tokens(parts: Mapping[str, Tokens]) -> Tokens:
    """H of the SGA paper: the tokens of all modalities."""
    return Tokens(
        torch.cat([part.values for part in parts.values()], 1),
        torch.cat([part.mask for part in parts.values()], 1),
    )


def guidance(
    aligner: SlotAligner,
    teachers: Mapping[str, Tokens],
    parts: Mapping[str, Tokens],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The terms of slot-guided alignment, with their factors.

    Args:
        aligner: The slots of H and of each teacher.
        teachers: Teacher -> its tokens h_m.
        parts: Modality -> its tokens in the multi-modal model; all of them together are H.
        generator: CPU generator of everything random about slots.
    """
    joint = joint_tokens(parts)
    alignment = aligner(joint, teachers, generator=generator)
    terms = aligner.losses(alignment, joint, teachers, parts=parts, generator=generator)
    factors = aligner.config.factors()
    return {f"slots/{name}": factors[name] * term for name, term in terms.items()}


def kept_slots(aligner: SlotAligner, teachers: Mapping[str, Tokens], parts: Mapping[str, Tokens]) -> str:
    """How many slots are kept on average outside of training, as text."""
    alignment = aligner.eval()(joint_tokens(parts), teachers, generator=torch.Generator().manual_seed(0))
    everything = {"joint": alignment.joint, **alignment.teachers}
    return ", ".join(f"{name} {part.keep.sum(1).mean():.1f}" for name, part in everything.items())
