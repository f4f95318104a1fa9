"""One training step of a method: encoders once, critics, the objective, the optimizer, codebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float, Int64
from torch import Tensor, nn

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.methods.base import Method, prefixed
from unicode_cmg.ranks import sharing
from unicode_cmg.regularizers import Regularizers
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.metrics import FiniteGuard
from unicode_cmg.training.objective import Objective
from unicode_cmg.training.optimizers import Optimizers
from unicode_cmg.training.randomness import clip_generator, step_generator


@dataclass(frozen=True)
class StepResult:
    """What a step leaves for the log.

    Attributes:
        values: Scalars on the device: `loss/total`, `loss/<term>` unweighted, the critics' last ones among
            them, and `gradient_norm/<module>` before clipping.
        chosen: Code layer -> how often each code was chosen in this batch.
        statistics: Usage of the codebooks in this batch, if it was asked for.
    """

    values: dict[str, Float[Tensor, ""]]
    chosen: dict[str, Int64[Tensor, " codes"]]
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
        objective: What is minimized.
        optimizers: Those of the method and of its critics.
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
        self.objective = Objective(method, self.regularizers, config)
        self.optimizers = Optimizers(method, self.regularizers, config, accelerator)
        self.guard = FiniteGuard(wait=accelerator.device.type == "cpu")
        self._config, self._accelerator = config, accelerator

    def step(
        self,
        batch: FeatureBatch,
        *,
        clips: int | None = None,
        step: int,
        epoch: int,
        lr: float,
        statistics: bool,
        share: float = 1.0,
    ) -> StepResult:
        """Train on one batch.

        Args:
            batch: Features on the device, with the columns that regularizers read. Of a batch that ranks
                share, the rows of this one; see `ranks.Share`.
            clips: Clips of the batch over all ranks; as many as this rank has, times their number, if left
                out.
            step: Number of the step, from 1.
            epoch: Passes over the data done so far.
            lr: Learning rate of the main optimizer.
            statistics: Whether to measure the use of the codebooks.
            share: Share of the run's steps that are done after this one; regularizers' warm-ups follow it.

        Raises:
            InputError: `loss_weights` does not fit the method's terms.
            NonFiniteLoss: A loss or gradient is NaN or infinite; on the CPU before the model moves by it.
        """
        with sharing(len(batch) * self._accelerator.num_processes if clips is None else clips):
            return self._step(batch, step, epoch, lr, statistics, share)

    def _step(
        self, batch: FeatureBatch, step: int, epoch: int, lr: float, statistics: bool, share: float
    ) -> StepResult:
        method, optimizers = self.method, self.optimizers
        generator = step_generator(self._config.training.seed, step)
        clips = clip_generator(self._config.training.seed, step)
        own = batch.only(method.modalities)
        method.begin_step(step=step - 1, epoch=epoch)
        if method.repeats_encoding:
            critic = self._train_critics(self._encoded_anew(own, clips, generator), step)
            representation = self._represent(own.drawing(clips))
        else:
            representation = self._represent(own.drawing(clips))
            critic = self._train_critics(repeat(representation, self._config.critics.steps), step)
        with _constant(optimizers.critics):
            with self._accelerator.autocast():
                terms, total = self.objective.losses(batch, representation, generator=generator, number=step)
            self.guard.watch({**terms, "total": total}, step=step)
            norms = optimizers.gradients(total)
        if self._accelerator.scaler is None:  # with a scaler an overflow is normal: it skips the step
            self.guard.watch(prefixed("gradient of ", norms), step=step)
        optimizers.step(lr=lr, share=share)
        method.update_codebooks(representation, generator=generator)
        logged = {"total": total, **terms, **critic}
        return StepResult(
            {**prefixed("loss/", logged), **prefixed("gradient_norm/", norms)},
            method.chosen_codes(representation),
            method.codebook_statistics(representation) if statistics else None,
        )

    def _represent(self, batch: FeatureBatch) -> Any:
        with self._accelerator.autocast():
            return self.method.represent(batch)

    def _encoded_anew(
        self, batch: FeatureBatch, clips: torch.Generator, generator: torch.Generator
    ) -> Iterator[Any]:
        """A representation for each critic step, after which it moves the codebooks."""
        for _ in range(self._config.critics.steps):
            with torch.no_grad():
                representation = self._represent(batch.drawing(clips))
            yield representation
            self.method.update_codebooks(representation, generator=generator)

    def _train_critics(self, representations: Iterable[Any], step: int) -> dict[str, Float[Tensor, ""]]:
        """A step of the critics on each representation; the last losses."""
        losses: dict[str, Float[Tensor, ""]] = {}
        if not self.optimizers.critics:
            return losses
        for representation in representations:
            with self._accelerator.autocast():
                losses = self.method.critic_losses(representation)
            self.optimizers.step_critics(torch.stack(list(losses.values())).sum())
        self.guard.watch(losses, step=step)  # once is enough: NaN stays in the critics
        return losses


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
