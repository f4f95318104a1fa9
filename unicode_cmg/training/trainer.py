"""One training step of a method: encoders once, critics, weighted losses, clipping, optimizer, codebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.methods.base import Method
from unicode_cmg.regularizers import ParameterGroup, Regularizers
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.finite import FiniteGuard
from unicode_cmg.training.randomness import regularizer_generators, step_generator
from unicode_cmg.training.schedule import own_rate
from unicode_cmg.training.weights import LossWeights

_FUSED = (
    "cpu",
    "cuda",
    "mps",
    "xpu",
)  # devices for which torch has a fused Adam: one pass over the parameters


@dataclass(frozen=True)
class StepResult:
    """What a step leaves for the log.

    Attributes:
        values: Scalars on the device: `loss/total`, `loss/<term>` unweighted, the critics' last ones among
            them, and `gradient_norm/<module>` before clipping.
        statistics: Usage of the codebooks in this batch, if it was asked for.
    """

    values: dict[str, Float[Tensor, ""]]
    statistics: dict[str, float] | None


class Trainer:
    """A method, its optimizers, and the order of a step (see `methods.base.Method`).

    Args:
        method: On its device, in training mode.
        config: Optimizers, weights and seed.
        accelerator: Mixed precision and ranks.
        regularizers: Those of the run, on the same device, in training mode.

    Attributes:
        regularizers: Those of the run.
        guard: Stops the run at a NaN or an infinity.
    """

    def __init__(
        self,
        method: Method[Any],
        config: PretrainConfig,
        accelerator: Accelerator,
        regularizers: Regularizers | None = None,
    ) -> None:
        self.method = method
        self.regularizers = Regularizers() if regularizers is None else regularizers
        self.guard = FiniteGuard(wait=accelerator.device.type == "cpu")
        self._config = config
        self._accelerator = accelerator
        self._weights = LossWeights(config.loss_weights)
        self._weights_fit = False
        trained = {**method.trained_modules(), **self.regularizers.trained_modules()}
        self._modules = {
            name: [p for p in module.parameters() if p.requires_grad] for name, module in trained.items()
        }
        own = self.regularizers.parameter_groups()
        self._groups = [ParameterGroup(tuple(method.trained_parameters())), *own]
        self._critics = list(method.critic_parameters())
        fused = accelerator.device.type in _FUSED
        options = config.optimizer
        self.optimizers = {
            "main": torch.optim.AdamW(
                [
                    {
                        "params": list(group.parameters),
                        "weight_decay": _given(group.weight_decay, options.weight_decay),
                    }
                    for group in self._groups
                ],
                lr=options.lr,
                fused=fused,
            )
        }
        if self._critics:
            # AdamW without decay is Adam, to the bit
            self.optimizers["critics"] = torch.optim.AdamW(
                self._critics, lr=config.critics.lr, weight_decay=0.0, fused=fused
            )

    def step(
        self,
        batch: FeatureBatch,
        *,
        step: int,
        epoch: int,
        lr: float,
        statistics: bool,
        share: float = 1.0,
    ) -> StepResult:
        """Train on one batch.

        Args:
            batch: Features on the device, with the columns that regularizers read.
            step: Number of the step, from 1.
            epoch: Passes over the data done so far.
            lr: Learning rate of the main optimizer.
            statistics: Whether to measure the use of the codebooks.
            share: Share of the run's steps that are done after this one; regularizers' warm-ups follow it.

        Raises:
            InputError: `loss_weights` does not fit the method's terms.
            NonFiniteLoss: A loss or gradient is NaN or infinite; on the CPU before the model moves by it.
        """
        method, autocast = self.method, self._accelerator.autocast
        columns, batch = batch, batch.only(method.modalities)
        generator = step_generator(self._config.training.seed, step)
        method.begin_step(step=step - 1, epoch=epoch)
        if method.repeats_encoding:
            critic = self._train_critics(self._encoded_anew(batch, generator), step)
            representation = self._represent(batch)
        else:
            representation = self._represent(batch)
            critic = self._train_critics(repeat(representation, self._config.critics.steps), step)
        with _constant(self._critics):
            with autocast():
                losses = method.training_losses(batch, generator=generator, representation=representation)
                if len(self.regularizers):
                    view = method.view(batch, representation).with_columns(columns)
                    draws = regularizer_generators(self._config.training.seed, step, len(self.regularizers))
                    losses = {**losses, **self.regularizers.losses(view, draws)}
            factors = {**method.loss_factors(), **self.regularizers.loss_factors()}
            if not self._weights_fit:
                self._weights.check(losses, factors)
                self._weights_fit = True
            losses = {**losses, "total": self._weights.total(losses, factors)}
            self.guard.watch(losses, step=step)
            rates = [own_rate(group, run=lr, share=share) for group in self._groups]
            norms = self._update(losses["total"], rates, step)
        method.update_codebooks(representation, generator=generator)
        logged = {"total": losses.pop("total"), **losses, **critic}
        return StepResult(
            {**_prefixed("loss/", logged), **_prefixed("gradient_norm/", norms)},
            method.codebook_statistics(representation) if statistics else None,
        )

    def _represent(self, batch: FeatureBatch) -> Any:
        with self._accelerator.autocast():
            return self.method.represent(batch)

    def _encoded_anew(self, batch: FeatureBatch, generator: torch.Generator) -> Iterator[Any]:
        """A representation for each critic step, after which it moves the codebooks."""
        for _ in range(self._config.critics.steps):
            with torch.no_grad():
                representation = self._represent(batch)
            yield representation
            self.method.update_codebooks(representation, generator=generator)

    def _train_critics(self, representations: Iterable[Any], step: int) -> dict[str, Float[Tensor, ""]]:
        """A step of the critics on each representation; the last losses."""
        losses: dict[str, Float[Tensor, ""]] = {}
        if not self._critics:
            return losses
        optimizer = self.optimizers["critics"]
        for representation in representations:
            with self._accelerator.autocast():
                losses = self.method.critic_losses(representation)
            optimizer.zero_grad()
            self._accelerator.backward(torch.stack(list(losses.values())).sum())
            self._average_over_ranks(self._critics)
            self._apply(optimizer)
        self.guard.watch(losses, step=step)  # once is enough: NaN stays in the critics
        return losses

    def _update(
        self, total: Float[Tensor, ""], rates: Sequence[float], step: int
    ) -> dict[str, Float[Tensor, ""]]:
        """Backward, clip each module alone, and move the parameters; the norms before clipping."""
        optimizer, scaler, limit = (
            self.optimizers["main"],
            self._accelerator.scaler,
            self._config.optimizer.clip_norm,
        )
        optimizer.zero_grad()
        self._accelerator.backward(total)
        if scaler is not None:
            scaler.unscale_(optimizer)
        norms = {}
        for name, parameters in self._modules.items():
            gradients = [p.grad for p in parameters if p.grad is not None]
            if not gradients:  # no term of this step reaches the module
                continue
            self._average_over_ranks(parameters)
            norms[name] = torch.nn.utils.get_total_norm(gradients)
            if limit is not None:
                torch.nn.utils.clip_grads_with_norm_(parameters, limit, norms[name])
        if scaler is None:  # with a scaler an overflow is part of the game: it skips the step
            self.guard.watch(_prefixed("gradient of ", norms), step=step)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._apply(optimizer)
        return norms

    def _apply(self, optimizer: torch.optim.Optimizer) -> None:
        scaler = self._accelerator.scaler
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    def _average_over_ranks(self, parameters: Sequence[nn.Parameter]) -> None:
        if self._accelerator.num_processes == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self._accelerator.reduce(torch.cat([g.flatten() for g in gradients]), reduction="mean")
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


@contextmanager
def _constant(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Within the block, gradients flow through these parameters' modules but none is computed for them."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _prefixed(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in values.items()}
