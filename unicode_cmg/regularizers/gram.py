"""`gram`: the modalities of a clip are aligned all at once by the volume they span, as in the GRAM paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from unicode_cmg.batch import StepView
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.losses import gram_loss
from unicode_cmg.regularizers.base import (
    Regularizer,
    RegularizerConfig,
    Representation,
    clip_means,
    represented,
)

_EACH = "each"


class GramConfig(RegularizerConfig):
    """Which vectors, and which of them is exchanged between clips."""

    representation: Representation = Field(
        default="general",
        description="vectors that are aligned, averaged over the steps of a clip: general features, which are"
        " what is quantized, or codes",
    )
    anchor: str | None = Field(
        default=None,
        description="modality that is exchanged between clips; null: the first modality of the method; "
        "`each`: every modality in turn, with the terms averaged",
    )
    temperature: float = Field(default=0.07, gt=0, description="temperature by which the volumes are divided")


class Gram(Regularizer):
    """A term `gram/ANCHOR` for each anchor: `unicode_cmg.losses.gram_loss` of means over the steps of a clip.

    Args:
        config: Settings.
        example: The view of one clip.

    Attributes:
        anchors: The modalities that are exchanged, in turn.

    Raises:
        InputError: The anchor is no modality of the method, or there are more modalities than dimensions.
    """

    name: ClassVar[str] = "gram"
    config_class: ClassVar[type[RegularizerConfig]] = GramConfig
    config: GramConfig

    def __init__(self, config: GramConfig, example: StepView) -> None:
        super().__init__(config, example)
        values, _ = represented(example, config.representation)
        modalities, where = tuple(values), "regularizers: gram"
        anchor = modalities[0] if config.anchor is None else config.anchor
        if anchor not in (*modalities, _EACH):
            raise unknown("anchor", anchor, (*modalities, _EACH), where=where)
        self.anchors = (anchor,) if anchor in modalities else modalities
        width = values[modalities[0]].shape[-1]
        if not 2 <= len(modalities) <= width:
            raise InputError(
                f"{len(modalities)} modalities with vectors of width {width}",
                where=where,
                expected="2 modalities or more, and no more than the width",
            )

    def losses(self, view: StepView, *, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """One term an anchor."""
        values, masks = represented(view, self.config.representation)
        vectors = {m: clip_means(x, masks[m]) for m, x in values.items()}
        valid = torch.stack([masks[m].any(1) for m in values]).all(0)
        return {
            anchor: gram_loss(vectors, anchor, temperature=self.config.temperature, mask=valid)
            for anchor in self.anchors
        }

    def loss_factors(self) -> Mapping[str, float]:
        """The anchors share the weight."""
        return {anchor: 1 / len(self.anchors) for anchor in self.anchors}
