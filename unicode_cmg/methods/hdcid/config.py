"""Settings of H-DCID: those of DCID, and how the deeper layers take part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from unicode_cmg.methods.dcid import DCIDConfig


class HDCIDConfig(DCIDConfig):
    """Sizes and switches of H-DCID; every layer has the sizes of DCID."""

    switches: ClassVar[Mapping[str, tuple[Any, Any, Any]]] = {
        **DCIDConfig.switches,
        "cmcm_form": ("corrected", "none", "corrected"),
        "deeper_weight": (0.3, 0.3, 1.0),
        "mean_over_layers": (False, False, True),
        "waiting_code_layers": ("rest", "run", "rest"),
        "detach_deeper": (True, False, False),
        "repeat_encoding": (False, True, False),
    }

    code_layers: int = Field(
        default=2,
        ge=2,
        description="number of code layers, each a disentanglement with a codebook of its own",
    )
    deeper_weight: float = Field(
        gt=0, description="weight of the loss terms of the second and later code layers"
    )
    mean_over_layers: bool = Field(
        description="whether CLUB and CPC are divided by the number of code layers, as in the paper"
    )
    warm_start_epochs: int = Field(
        default=3, ge=0, description="epochs after which a code layer joins the training of the one before it"
    )
    warm_start_steps: int | None = Field(
        default=None, ge=0, description="the same in steps; when it is set, `warm_start_epochs` has no effect"
    )
    waiting_code_layers: Literal["rest", "run"] = Field(
        description="what a code layer does before it joins: nothing, or, as released, it encodes, moves its "
        "codebook and logs its loss terms"
    )
    standardize_deeper: bool = Field(
        default=False,
        description="whether deeper code layers read their inputs at mean 0 and deviation 1, by running "
        "statistics; as released they read them as they are, however little they vary",
    )
    detach_deeper: bool = Field(
        description="deeper code layers reconstruct their inputs as constants; as released they do not, and "
        "the inputs can shrink to zero"
    )
    repeat_encoding: bool = Field(
        description="whether to encode the batch and to move the codebooks again before every critic step, as"
        " released"
    )
