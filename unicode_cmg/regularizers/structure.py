"""`structure`: each modality keeps the geometry of its features, as the STRUCTURE paper proposes."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from unicode_cmg.batch import StepView
from unicode_cmg.errors import InputError
from unicode_cmg.losses import structure_loss
from unicode_cmg.regularizers.base import (
    Regularizer,
    RegularizerConfig,
    Representation,
    clip_means,
    represented,
)


class StructureConfig(RegularizerConfig):
    """What is compared, among what, and how far around."""

    representation: Representation = Field(
        default="codes",
        description="representation that keeps the geometry of the input features: general features, which "
        "are what is quantized, or codes",
    )
    units: Literal["clips", "steps"] = Field(
        default="clips",
        description="what is compared: clips, as means over their steps, or all single steps of the batch",
    )
    levels: int = Field(default=3, ge=1, description="largest number of hops of the walks between neighbours")
    temperature: float = Field(
        default=0.1,
        gt=0,
        description="temperature by which the similarities are divided; with a lower one, fewer neighbours "
        "count",
    )


class Structure(Regularizer):
    """A term `structure/MODALITY` for each modality: `unicode_cmg.losses.structure_loss` within the batch.

    The paper aligns frozen encoders by small maps and compares their outputs with what enters the maps; here
    the input features of a modality take that place. Features on a grid are averaged over it.

    Args:
        config: Settings.
        example: The view of one clip.

    Raises:
        InputError: Steps are to be compared, but the codes stand for whole clips.
    """

    name: ClassVar[str] = "structure"
    config_class: ClassVar[type[RegularizerConfig]] = StructureConfig
    config: StructureConfig

    def __init__(self, config: StructureConfig, example: StepView) -> None:
        super().__init__(config, example)
        values, _ = represented(example, config.representation)
        for m, x in values.items():
            steps, coded = example.features[m].shape[1], x.shape[1]
            if config.units == "steps" and steps != coded:
                raise InputError(
                    f"'units' is 'steps', but '{m}' has {steps} steps and {coded} codes",
                    where="regularizers: structure",
                    fix="set 'units' to clips, or 'representation' to general",
                )

    def losses(self, view: StepView, *, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """One term a modality."""
        config = self.config
        values, masks = represented(view, config.representation)
        terms = {}
        for m, made in values.items():
            features = view.features[m]
            if features.ndim > 3:
                features = features.flatten(2, -2).mean(2)
            valid = view.masks[m].any(1) & masks[m].any(1)
            if config.units == "clips":
                features, made = clip_means(features, view.masks[m]), clip_means(made, masks[m])
            else:
                valid = (view.masks[m] & masks[m]).t().flatten()
                features, made = (x.transpose(0, 1).flatten(0, 1) for x in (features, made))
            terms[m] = structure_loss(
                features, made, levels=config.levels, temperature=config.temperature, mask=valid
            )
        return terms
