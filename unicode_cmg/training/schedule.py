"""The learning rate as a function of the position alone, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from bisect import bisect_right

from unicode_cmg.regularizers import ParameterGroup
from unicode_cmg.training.config import OptimizerConfig


def learning_rate(config: OptimizerConfig, *, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """Learning rate of a step.

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


def own_rate(group: ParameterGroup, *, run: float, share: float) -> float:
    """Learning rate of a group of parameters that may have one of its own.

    Args:
        group: The group.
        run: The run's rate at this step.
        share: Share of the run's steps that are done after this one, 0 to 1.
    """
    if group.lr is None:
        return run
    return group.lr * min(1.0, share / group.warmup) if group.warmup else group.lr
