"""Settings of H-DCID: those of DCID, and how the deeper layers take part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from unicode_cmg.methods.dcid import DCIDConfig

PRESETS: dict[str, dict[str, Any]] = {
    "corrected": {
        **DCIDConfig.presets["corrected"],
        "waiting_layers": "rest",
        "detach_deeper": True,
        "repeat_encoding": False,
    },
    "released": {
        **DCIDConfig.presets["released"],
        "cmcm_form": "none",
        "waiting_layers": "run",
        "detach_deeper": False,
        "repeat_encoding": True,
    },
}
"""What `fidelity` sets where the config says nothing else; see docs/reference/deviations.md."""


class HDCIDConfig(DCIDConfig):
    """Sizes and switches of H-DCID; every layer has the sizes of DCID.

    Attributes:
        presets: What each `fidelity` sets.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    code_layers: int = Field(default=2, ge=2, description="layers of disentanglement, each with its codebook")
    deeper_weight: float = Field(
        default=0.3, gt=0, description="factor of the loss terms of the second and later layers"
    )
    warm_start_epochs: int = Field(
        default=3, ge=0, description="epochs after which a layer joins the training of the one before it"
    )
    warm_start_steps: int | None = Field(
        default=None, ge=0, description="the same in steps; when set, `warm_start_epochs` does not count"
    )
    waiting_layers: Literal["rest", "run"] = Field(
        description="what a layer does before it joins: nothing, or, as released, it encodes and moves its "
        "codebook, and its terms are logged"
    )
    standardize_deeper: bool = Field(
        default=False,
        description="deeper layers read their inputs at mean 0 and deviation 1, by running statistics; "
        "released: as they are, however little they vary",
    )
    detach_deeper: bool = Field(
        description="deeper layers reconstruct their inputs as constants; released: the inputs can shrink to "
        "zero"
    )
    repeat_encoding: bool = Field(
        description="encode the batch and move the codebooks anew before every critic step, as released"
    )
