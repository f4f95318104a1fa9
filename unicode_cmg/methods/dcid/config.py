"""Settings of DCID. Every departure of the released code from its paper is one named switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from unicode_cmg.batch import can_name_module
from unicode_cmg.codebook import CodebookConfig
from unicode_cmg.config import Config

Fidelity = Literal["corrected", "released"]
FIDELITIES: tuple[Fidelity, ...] = get_args(Fidelity)


class ModalityConfig(Config):
    """The features of one modality and the sizes of its encoders."""

    dim: int = Field(ge=1, description="channels of the features")
    grid: tuple[int, int] | None = Field(
        default=None, description="height and width of features on a grid; null: one vector a step"
    )
    context: int | None = Field(
        default=None,
        ge=2,
        multiple_of=2,
        description="width of a bidirectional LSTM before the encoders, as released for text; null: no LSTM",
    )
    specific_dim: int | None = Field(
        default=None, ge=1, description="width of the specific encoder; null: 4 x dim on a grid, else dim"
    )
    summary_dim: int | None = Field(
        default=None, ge=1, description="width of `club_summary: learned` on a grid; null: dim"
    )

    @model_validator(mode="after")
    def _context_reads_vectors(self) -> ModalityConfig:
        if self.grid is not None and self.context is not None:
            raise ValueError("'context' is for one vector a step, but 'grid' is set; remove one of them")
        if self.grid is not None and min(self.grid) < 1:
            raise ValueError("'grid' has a side of zero; give its height and width")
        return self

    @property
    def width(self) -> int:
        """Channels that reach the general and specific encoders."""
        return self.context or self.dim

    @property
    def specific_width(self) -> int:
        """Channels of the specific features."""
        return self.specific_dim or (4 * self.dim if self.grid else self.dim)


class DCIDConfig(Config):
    """Sizes and switches of DCID; the defaults of the sizes are those of the papers.

    Attributes:
        switches: What `fidelity: corrected` and `fidelity: released` set where the config says nothing else;
            see docs/reference/deviations.md.
    """

    switches: ClassVar[Mapping[str, tuple[Any, Any]]] = {
        "pooling": ("conv", "sum"),
        "relu_skip": (False, True),
        "cpc_normalize": ("target", "prediction"),
        "club_form": ("paper", "released"),
        "club_summary": ("mean", "learned"),
        "cmcm_form": ("corrected", "released"),
        "commitment_own": (0.25, 0.5),
        "commitment_cross": (0.125, 0.25),
        "detach_context": (True, False),
    }

    modalities: dict[str, ModalityConfig] = Field(
        min_length=2, description="name of a modality -> its features; two modalities or more, with any names"
    )
    dim: int = Field(default=256, ge=1, description="width D of the codes")
    num_codes: int = Field(default=400, ge=2, description="number of codes H of the codebook")
    heads: int = Field(default=4, ge=1, description="attention heads of the general encoders")
    transformer_layers: int = Field(
        default=2, ge=1, le=256, description="number of transformer layers of each general encoder"
    )
    feedforward: int = Field(
        default=1024, ge=1, description="hidden width of the feed-forward networks of the general encoders"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout of the general encoders")
    pooling_dim: int = Field(default=64, ge=1, description="channels of the convolutions of `pooling: conv`")
    critic_hidden: int = Field(
        default=256, ge=2, description="width of CLUB's critics; their hidden layers are half as wide"
    )
    codebook: CodebookConfig = Field(default=CodebookConfig(), description="the shared codebook")
    fidelity: Fidelity = Field(
        default="corrected", description="preset of the switches below: our corrections, or as released"
    )
    pooling: Literal["conv", "attention", "sum"] = Field(description="how a general encoder pools a grid")
    relu_skip: bool = Field(
        description="whether residual connections carry relu(x) in place of x, as released"
    )
    cpc_normalize: Literal["target", "prediction"] = Field(
        description="axis over which the softmax of CPC is normalized"
    )
    club_form: Literal["paper", "released"] = Field(description="form of the CLUB estimate")
    club_summary: Literal["mean", "learned"] = Field(
        description="what CLUB sees of specific features on a grid: their mean, or the output of a network on"
        " them"
    )
    cmcm_form: Literal["corrected", "released", "none"] = Field(
        description="form of the CMCM loss; `none` leaves it out"
    )
    commitment_own: float = Field(ge=0, description="weight of the commitment to a feature's own codeword")
    commitment_cross: float = Field(
        ge=0, description="weight of the commitment to the codewords of all other modalities together"
    )
    detach_context: bool = Field(
        description="reconstruct the output of the LSTM as a constant; as released it is not, and the target "
        "can shrink to zero"
    )

    @model_validator(mode="before")
    @classmethod
    def _set_by_fidelity(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("fidelity", "corrected") not in FIDELITIES:
            return values
        choice = FIDELITIES.index(values.get("fidelity", "corrected"))
        return {**{name: options[choice] for name, options in cls.switches.items()}, **values}

    @field_validator("modalities")
    @classmethod
    def _names_can_name_modules(cls, modalities: dict[str, ModalityConfig]) -> dict[str, ModalityConfig]:
        for name in modalities:
            if not can_name_module(name):
                raise ValueError(f"'{name}' cannot name a modality; choose another name")
        return modalities

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> DCIDConfig:
        if self.dim % self.heads:
            raise ValueError(f"'dim' is {self.dim} and 'heads' is {self.heads}; heads must divide dim")
        return self
