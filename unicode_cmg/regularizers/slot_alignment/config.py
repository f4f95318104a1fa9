"""Settings of slot-guided alignment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from unicode_cmg.batch import can_name_module
from unicode_cmg.config import Config
from unicode_cmg.regularizers.base import RegularizerConfig


class AlignerConfig(Config):
    """Sizes and switches of the alignment itself, whatever it is attached to."""

    slots: int = Field(
        default=10,
        ge=1,
        description="slots L of the joint tokens and of each teacher; at most so many are kept",
    )
    dim: int | None = Field(
        default=None, ge=1, description="width of the slots; default: of the joint tokens"
    )
    iterations: int = Field(default=3, ge=1, description="iterations T of slot attention")
    update: Literal["mean", "gru"] = Field(
        default="mean",
        description="a new slot is the weighted mean of its tokens, or a gated unit and a network of it",
    )
    init: Literal["shared", "per-slot"] = Field(
        default="shared", description="one Gaussian that all slots start from, or one for each"
    )
    normalize: Literal["both", "tokens", "none"] = Field(
        default="both",
        description="what is brought to mean 0 and variance 1 before slot attention projects it",
    )
    floor: float = Field(
        default=0.0,
        ge=0,
        description="share of the tokens added to the total that a slot's mean is divided by; above 0 the "
        "length of a slot tells how much it holds, and the selection sees it",
    )
    adaptive: bool = Field(
        default=True, description="keep only the slots that a sample needs; false: all of them"
    )
    drop_void: bool = Field(
        default=True,
        description="drop a slot that is the first choice of no token, whatever the selection says",
    )
    minimum: int = Field(default=1, ge=1, description="slots that are kept at least")
    selection_temperature: float = Field(
        default=1.0, gt=0, description="of the Gumbel-softmax that keeps or drops a slot"
    )
    matching: Literal["top", "one-to-one"] = Field(
        default="top", description="how the K_m pairs are chosen: the best entries, or no slot twice"
    )
    contrast: Literal["bounded", "paper"] = Field(
        default="bounded",
        description="whether the pairs stand in the denominator of the contrastive term too; "
        "without them it has no lower bound",
    )
    contrast_temperature: float = Field(default=1.0, gt=0, description="divides the cosines of that term")
    distance: Literal["sliced", "exact", "entropic"] = Field(
        default="sliced", description="transport distance of the retrieval term; the latter two need POT"
    )
    directions: int = Field(default=64, ge=1, description="random directions of `distance: sliced`")
    entropy: float = Field(default=0.1, gt=0, description="weight of the entropy of `distance: entropic`")
    queries: Literal["first", "all"] = Field(
        default="first", description="which modalities the retrieval term asks with"
    )
    retrieval_temperature: float = Field(default=1.0, gt=0, description="divides the distances of that term")
    contrastive: float = Field(
        default=1.0, ge=0, description="factor of the contrastive term (eq. 3); 0 leaves it out"
    )
    retrieval: float = Field(
        default=1.0, ge=0, description="factor of the retrieval term (eq. 4); 0 leaves it out"
    )
    reconstruction: float = Field(
        default=1.0, ge=0, description="factor of rebuilding the tokens from the kept slots; 0 leaves it out"
    )
    keep: float = Field(
        default=0.1, ge=0, description="factor of the share of slots that are kept; 0 leaves it out"
    )

    @model_validator(mode="after")
    def _enough_slots(self) -> AlignerConfig:
        if self.minimum > self.slots:
            raise ValueError(f"'minimum' is {self.minimum}, but there are {self.slots} slots; lower it")
        return self

    def factors(self) -> dict[str, float]:
        """Term of the objective -> its factor, without those that are left out."""
        names = ("contrastive", "retrieval", "reconstruction", *(["keep"] if self.adaptive else []))
        return {name: getattr(self, name) for name in names if getattr(self, name) > 0}


class TeacherConfig(Config):
    """Where the tokens of one teacher come from."""

    column: str | None = Field(
        default=None, description="column of the feature store it reads; default: the one of its name"
    )
    module: str | None = Field(
        default=None,
        description="`package.module:callable` that makes a module to run on that column; null: the features "
        "are the tokens",
    )
    lr: float = Field(default=0.0, ge=0, description="learning rate of the module; 0: it is frozen")

    @model_validator(mode="after")
    def _something_to_train(self) -> TeacherConfig:
        if self.lr > 0 and self.module is None:
            raise ValueError(
                f"'lr' is {self.lr}, but stored features do not learn; give a 'module' or remove it"
            )
        if self.module is not None and not all(self.module.partition(":")):
            raise ValueError(f"'module' is '{self.module}'; write package.module:callable")
        return self


class SlotAlignmentConfig(AlignerConfig, RegularizerConfig):
    """Settings of the regularizer: those of the alignment, its teachers and its optimizer."""

    teachers: dict[str, TeacherConfig] = Field(
        default_factory=dict,
        description="name -> where its tokens come from; default: each modality with its stored features",
    )
    lr: float | None = Field(
        default=1e-4,
        gt=0,
        description="learning rate of slots and decoders; null: the run's, with its schedule",
    )
    weight_decay: float | None = Field(
        default=1e-2, ge=0, description="decoupled weight decay of all its parameters; null: the run's"
    )
    warmup: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="share of the run's steps over which the rates rise in a straight line",
    )

    @field_validator("teachers")
    @classmethod
    def _names_can_name_modules(cls, teachers: dict[str, TeacherConfig]) -> dict[str, TeacherConfig]:
        for name in teachers:
            if not can_name_module(name):
                raise ValueError(f"'{name}' cannot name a teacher; choose another name")
        return teachers
