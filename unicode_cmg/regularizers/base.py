"""What the fit loop needs of a regularizer: extra loss terms on what a step of any method shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from unicode_cmg.batch import StepView
from unicode_cmg.config import Config


class RegularizerConfig(Config):
    """Settings that every regularizer has; derive from it and add others."""

    weight: float = Field(default=1.0, ge=0, description="factor of all its terms, beside `loss_weights`")


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that join the main optimizer with a rate of their own.

    Attributes:
        parameters: The parameters.
        lr: Their learning rate, constant after the warm-up; None: the run's, with its schedule.
        weight_decay: Their decoupled weight decay; None: the run's.
        warmup: Share of the run's steps over which `lr` is reached in a straight line, 0 to 1.
    """

    parameters: tuple[nn.Parameter, ...]
    lr: float | None = None
    weight_decay: float | None = None
    warmup: float = 0.0

    def rate(self, *, run: float, share: float) -> float:
        """Learning rate of a step.

        Args:
            run: The run's rate at this step.
            share: Share of the run's steps that are done after this one, 0 to 1.
        """
        if self.lr is None:
            return run
        return self.lr * min(1.0, share / self.warmup) if self.warmup else self.lr


class Regularizer(nn.Module, ABC):
    """Loss terms beside those of a method, for pretraining alone.

    It may have parameters. They are trained, saved and resumed with the run, and are not part of the model
    that the run leaves. In evaluation mode the terms depend on the view and the generator alone.

    Args:
        config: Settings, of `config_class`.
        example: The view of one clip; it tells names and shapes.

    Attributes:
        name: Its name in configurations and before its terms; no `.` and no `/` in it.
        config_class: The class of its settings.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[RegularizerConfig]]

    # Any: each subclass narrows it to its own settings
    def __init__(self, config: Any, example: StepView) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def columns(cls, config: Any) -> tuple[str, ...]:
        """Columns of the feature store that it reads beside the modalities of the method."""
        return ()

    @abstractmethod
    def losses(self, view: StepView, *, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """Raw, unweighted terms; `contrastive` is logged as `NAME/contrastive`.

        Args:
            view: What the step shows.
            generator: CPU generator of every random draw.
        """

    def loss_factors(self) -> Mapping[str, float]:
        """Factors of single terms beside `weight`, by the beginning of their name up to a `/`."""
        return {}

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters that take part in training, in groups; by default one group at the run's rate."""
        parameters = tuple(p for p in self.parameters() if p.requires_grad)
        return [ParameterGroup(parameters)] if parameters else []
