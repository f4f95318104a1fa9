"""What the fit loop needs of a regularizer, and vectors of clips that several regularizers compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from unicode_cmg.batch import StepView
from unicode_cmg.config import Config

Representation = Literal["general", "codes"]
"""Which representation of a step's clips is regularized: what is quantized, or the codes."""


class RegularizerConfig(Config):
    """Settings that every regularizer has; derive from it and add others."""

    weight: float = Field(
        default=1.0,
        ge=0,
        description="weight of all loss terms of the regularizer, multiplied by their `loss_weights`",
    )

    def code(self) -> tuple[str, ...]:
        """What is imported and run because these settings name it, such as `package.module:callable`.

        A regularizer whose settings name code overrides this: the code runs only if the user trusts it.
        """
        return ()


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


def represented(
    view: StepView, which: Representation
) -> tuple[Mapping[str, Float[Tensor, "batch _ dim"]], Mapping[str, Bool[Tensor, "batch _"]]]:
    """The general features or the codes by modality, and which of their steps are valid."""
    if which == "codes":
        return view.codes, view.code_masks
    return view.general, {m: view.masks[m] for m in view.general}


def clip_means(
    values: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch dim"]:
    """Mean over the valid steps in float32 or better, 0 for a clip without any; padding may hold anything."""
    share = mask.float() / mask.sum(1, keepdim=True).clamp(min=1)
    return (torch.where(mask.unsqueeze(-1), values, 0) * share.unsqueeze(-1)).sum(1)
