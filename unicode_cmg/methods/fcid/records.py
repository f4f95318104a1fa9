"""What one encoder pass of FCID gives, and what its losses draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from unicode_cmg.codebook import Quantized
from unicode_cmg.methods.fcid.coarse import CoarseRepresentation
from unicode_cmg.methods.fcid.fine import FineRepresentation


@dataclass(frozen=True)
class FCIDRepresentation:
    """One encoder pass.

    Attributes:
        inputs: Modality -> `[B, T, ...]` features as they enter the encoders.
        steps: Modality -> `[B, T, D]` general features of every step.
        fine: The fine modalities, step by step; empty without the fine half.
        coarse: All modalities, clip by clip; empty without the coarse half.
        quantized: Modality -> codes of the clips, or of the steps where there is no coarse half.
    """

    inputs: Mapping[str, Float[Tensor, "batch _ ..."]]
    steps: Mapping[str, Float[Tensor, "batch _ dim"]]
    fine: FineRepresentation
    coarse: CoarseRepresentation
    quantized: Mapping[str, Quantized]

    @property
    def coded(self) -> FineRepresentation | CoarseRepresentation:
        """The half whose general features are quantized."""
        return self.coarse if self.coarse.general else self.fine


@dataclass(frozen=True)
class Draws:
    """The random choices of the losses of one step.

    Attributes:
        fine: Fine modality -> `[B]` order of its clips, which gives CLUB its negatives.
        coarse: Group -> `[modalities * B]` order of its clips, likewise.
        step: The step t that CPC predicts from.
    """

    fine: Mapping[str, Int64[Tensor, " _"]]
    coarse: Mapping[str, Int64[Tensor, " _"]]
    step: int
