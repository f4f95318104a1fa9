"""The learning rate as a function of the position alone, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from bisect import bisect_right

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
