"""Settings of DCID. Every departure of the released code from its paper is one named switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from unicode_cmg.batch import can_name_module
from unicode_cmg.codebook import CodebookConfig, Fidelity
from unicode_cmg.config import Config

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
    window: int | None = Field(
        default=None,
        ge=0,
        description="how many steps before and after itself a step attends to in the general encoder; null: "
        "the whole clip, as in the papers, so that the code of each step describes the clip",
    )
    aligned: bool = Field(
        default=True,
        description="whether the steps happen at the same times as those of the other modalities; false for "
        "words, which describe the clip in an order of their own",
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
        switches: What `fidelity: corrected`, `released` and `paper` set, in this order, where the config says
            nothing else; see docs/reference/deviations.md.
    """

    switches: ClassVar[Mapping[str, tuple[Any, Any, Any]]] = {
        "pooling": ("conv", "sum", "attention"),
        "relu_skip": (False, True, False),
        "standardize": (True, False, False),
        "cpc_normalize": ("target", "prediction", "target"),
        "cpc_steps": ("all", "one", "one"),
        "cpc_negatives": ("steps", "clips", "clips"),
        "cpc_layers": (2, 2, 1),
        "cpc_self_weight": (0.1, 0.1, 0.0),
        "club_form": ("scale_free", "released", "paper"),
        "club_input": ("general", "code", "general"),
        "club_gradient": ("specific", "both", "both"),
        "club_negatives": ("permutation", "permutation", "all"),
        "club_summary": ("mean", "learned", "mean"),
        "cmcm_form": ("corrected", "released", "corrected"),
        "commitment_own": (0.25, 0.5, 0.25),
        "commitment_cross": (0.125, 0.25, 0.125),
        "commitment_each": (False, False, True),
        "detach_context": (True, False, True),
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
    input_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="dropout of the features that enter the general encoders, for few clips with wide "
        "features",
    )
    pooling_dim: int = Field(default=64, ge=1, description="channels of the convolutions of `pooling: conv`")
    critic_hidden: int = Field(
        default=256, ge=2, description="width of CLUB's critics; their hidden layers are half as wide"
    )
    codebook: CodebookConfig = Field(default=CodebookConfig(), description="the shared codebook")
    fidelity: Fidelity = Field(
        default="corrected",
        description="preset of the switches below: our corrections, the released code, or what the papers "
        "print",
    )
    pooling: Literal["conv", "attention", "sum"] = Field(description="how a general encoder pools a grid")
    relu_skip: bool = Field(
        description="whether residual connections carry relu(x) in place of x, as released"
    )
    standardize: bool = Field(
        description="whether each channel of the features enters the model at mean 0 and deviation 1, by the "
        "statistics of the training data, which are saved with the model"
    )
    cpc_normalize: Literal["target", "prediction"] = Field(
        description="axis over which the softmax of CPC is normalized"
    )
    cpc_steps: Literal["all", "one"] = Field(
        description="steps that CPC predicts from: all steps of a clip, or one drawn for each batch, as in "
        "the papers"
    )
    cpc_negatives: Literal["clips", "steps"] = Field(
        description="negatives of CPC: other clips, as in the papers, or the other steps of the same clip "
        "too, between modalities that are `aligned`"
    )
    cpc_layers: int = Field(
        ge=1, le=16, description="layers of the LSTMs whose contexts CPC predicts from; the papers have one"
    )
    cpc_horizon: int = Field(
        default=1,
        ge=1,
        description="how many steps ahead CPC predicts, R; the papers do not print it, and 1 is as released",
    )
    cpc_self_weight: float = Field(
        ge=0,
        description="weight of predicting a modality from its own past; 0, as in the papers, leaves it out",
    )
    club_form: Literal["scale_free", "paper", "released"] = Field(
        description="form of the CLUB estimate; `scale_free` is that of the paper on standardized inputs, "
        "per channel"
    )
    club_input: Literal["general", "code"] = Field(
        description="what CLUB compares the specific features with: z, as in the papers, or the codes"
    )
    club_gradient: Literal["specific", "both"] = Field(
        description="what CLUB trains: the specific encoders alone, or the general encoders too, as in the "
        "papers"
    )
    club_negatives: Literal["permutation", "all"] = Field(
        description="negatives of CLUB: one clip for each, by a random permutation of the batch, or all "
        "clips, as in the papers"
    )
    club_summary: Literal["mean", "learned"] = Field(
        description="what CLUB sees of specific features on a grid: their mean, or the output of a network on"
        " them"
    )
    cmcm_form: Literal["corrected", "released", "none"] = Field(
        description="form of the CMCM loss; `none` leaves it out"
    )
    commitment_own: float = Field(ge=0, description="weight of the commitment to a feature's own codeword")
    commitment_cross: float = Field(
        ge=0, description="weight of the commitment to the codewords of the other modalities"
    )
    commitment_each: bool = Field(
        description="whether `commitment_cross` is the weight of each other modality, and not of all together"
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
