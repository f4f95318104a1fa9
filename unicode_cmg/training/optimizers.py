"""The optimizers of a run: learning rates, averaging and clipping of gradients, and their saved state."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method
from unicode_cmg.regularizers import ParameterGroup, Regularizers
from unicode_cmg.training.config import OptimizerConfig, PretrainConfig
from unicode_cmg.training.reduction import GradientMean

# devices for which torch has a fused Adam: one pass over the parameters
_FUSED = ("cpu", "cuda", "mps", "xpu")


def learning_rate(config: OptimizerConfig, *, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """Learning rate of a step; a function of the position alone, so that a resumed run needs no state of it.

    Args:
        config: Rate, schedule and warm-up.
        step: Steps done before this one, from 0.
        steps_per_epoch: Steps in one epoch.
        total_steps: Steps of the whole run; only the cosine looks at it, so a run that is resumed with more
            epochs follows the longer cosine from there on.
    """
    rate = config.lr
    if step < config.warmup_steps:
        return rate * (step + 1) / config.warmup_steps
    if config.schedule == "milestones":
        rate *= config.gamma ** bisect_right(config.milestones, step // steps_per_epoch)
    elif config.schedule == "cosine":
        done = (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps)
        rate *= 0.5 * (1 + math.cos(math.pi * done))
    return rate


class Optimizers:
    """AdamW on the modules of the method and its regularizers, and Adam on the method's critics.

    Args:
        method: On its device.
        regularizers: Those of the run, on the same device.
        config: Rates, weight decay and clipping.
        accelerator: Loss scaling and ranks.

    Attributes:
        critics: Parameters of the critics; none in a method without.
    """

    def __init__(
        self,
        method: Method[Any],
        regularizers: Regularizers,
        config: PretrainConfig,
        accelerator: Accelerator,
    ) -> None:
        self._accelerator, self._limit = accelerator, config.optimizer.clip_norm
        trained = {**method.trained_modules(), **regularizers.trained_modules()}
        self._modules = {
            name: [p for p in module.parameters() if p.requires_grad] for name, module in trained.items()
        }
        own = regularizers.parameter_groups()
        self._groups = [ParameterGroup(tuple(method.trained_parameters())), *own]
        self.critics = list(method.critic_parameters())
        fused = accelerator.device.type in _FUSED
        decay = config.optimizer.weight_decay
        groups = [
            {
                "params": list(group.parameters),
                "weight_decay": decay if group.weight_decay is None else group.weight_decay,
            }
            for group in self._groups
        ]
        self._all = {"main": torch.optim.AdamW(groups, lr=config.optimizer.lr, fused=fused)}
        own_parameters = [parameter for group in self._groups for parameter in group.parameters]
        self._mean, self._critics_mean = GradientMean(own_parameters), GradientMean(self.critics)
        if self.critics:
            # AdamW without decay is Adam, to the bit
            self._all["critics"] = torch.optim.AdamW(
                self.critics, lr=config.critics.lr, weight_decay=0.0, fused=fused
            )

    def step_critics(self, loss: Float[Tensor, ""]) -> None:
        """Move the critics by the gradient of their loss."""
        optimizer = self._all["critics"]
        optimizer.zero_grad()
        self._accelerator.backward(loss)
        self._critics_mean.finish()
        self._apply(optimizer)

    def gradients(self, loss: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        """Backward, and clip the gradient of each module alone; the norms before clipping by module."""
        optimizer, scaler = self._all["main"], self._accelerator.scaler
        optimizer.zero_grad()
        self._accelerator.backward(loss)
        self._mean.finish()
        if scaler is not None:
            scaler.unscale_(optimizer)
        norms = {}
        for name, parameters in self._modules.items():
            gradients = [p.grad for p in parameters if p.grad is not None]
            if not gradients:  # no term of this step reaches the module
                continue
            norms[name] = torch.nn.utils.get_total_norm(gradients)
            if self._limit is not None:
                torch.nn.utils.clip_grads_with_norm_(parameters, self._limit, norms[name])
        return norms

    def step(self, *, lr: float, share: float) -> None:
        """Move the modules by their gradients.

        Args:
            lr: The run's learning rate.
            share: Share of the run's steps that are done after this one.
        """
        optimizer = self._all["main"]
        for options, group in zip(optimizer.param_groups, self._groups, strict=True):
            options["lr"] = group.rate(run=lr, share=share)
        self._apply(optimizer)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """`optimizer.main` and `optimizer.critics` -> their state under keys like `3/exp_avg`."""
        return {
            f"optimizer.{name}": {
                f"{parameter}/{key}": value
                for parameter, state in optimizer.state_dict()["state"].items()
                for key, value in state.items()
            }
            for name, optimizer in self._all.items()
        }

    def restore(self, groups: Mapping[str, Mapping[str, Tensor]], *, where: object) -> None:
        """Put back what `state` returned; rates and other options stay as they are.

        Args:
            groups: The states, perhaps among other groups of tensors.
            where: The checkpoint, for error messages.

        Raises:
            InputError: A state does not fit the parameters of its optimizer.
        """
        for name, optimizer in self._all.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in groups.get(f"optimizer.{name}", {}).items():
                index, _, slot = key.partition("/")
                if not index.isdigit() or int(index) >= len(parameters):
                    raise InputError(
                        f"state of an unknown parameter '{key}'", where=where, fix="the file may be damaged"
                    )
                parameter = parameters[int(index)]
                if value.ndim and value.shape != parameter.shape:
                    raise InputError(
                        f"'{key}' has shape {list(value.shape)}",
                        where=where,
                        expected=f"{list(parameter.shape)}",
                    )
                if value.ndim:  # a fused step walks through parameter and state in the order of their memory
                    value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
                state.setdefault(int(index), {})[slot] = value
            options = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": options})

    def _apply(self, optimizer: torch.optim.Optimizer) -> None:
        scaler = self._accelerator.scaler
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
