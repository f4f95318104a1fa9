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
        description="number of slots L of the joint tokens and of each teacher; no more are kept",
    )
    dim: int | None = Field(
        default=None, ge=1, description="width of the slots; null: the width of the joint tokens"
    )
    iterations: int = Field(default=3, ge=1, description="iterations T of slot attention")
    update: Literal["mean", "gru"] = Field(
        default="mean",
        description="how a slot is updated: by the weighted mean of its tokens, or by a gated recurrent unit "
        "and a network on it",
    )
    init: Literal["shared", "per-slot"] = Field(
        default="shared",
        description="distribution that the slots start from: one Gaussian shared by all slots, or one for "
        "each slot",
    )
    normalize: Literal["both", "tokens", "none"] = Field(
        default="both",
        description="what is normalized to mean 0 and variance 1 before slot attention projects it: tokens "
        "and slots, tokens only, or neither",
    )
    floor: float = Field(
        default=0.0,
        ge=0,
        description="share of the tokens that is added to the denominator of a slot's mean; above 0, the "
        "length of a slot tells how much it holds, and the selection sees it",
    )
    adaptive: bool = Field(
        default=True, description="keep only the slots that a sample needs; false: keep all slots"
    )
    drop_void: bool = Field(
        default=True,
        description="drop every slot that is the first choice of no token, whatever the selection decides",
    )
    minimum: int = Field(default=1, ge=1, description="smallest number of slots that are kept")
    selection_temperature: float = Field(
        default=1.0, gt=0, description="temperature of the Gumbel-softmax that keeps or drops a slot"
    )
    matching: Literal["top", "one-to-one"] = Field(
        default="top",
        description="how the K_m pairs of slots are chosen: the most similar pairs, or pairs in which no slot"
        " occurs twice",
    )
    contrast: Literal["bounded", "paper"] = Field(
        default="bounded",
        description="form of the contrastive term: with the pairs in the denominator too, or as in the paper,"
        " without them and therefore without a lower bound",
    )
    contrast_temperature: float = Field(
        default=1.0, gt=0, description="temperature by which the cosines of the contrastive term are divided"
    )
    selection_gradient: bool = Field(
        default=False,
        description="whether the contrastive term also trains which slots are kept; it is smallest with one "
        "slot, which is then what is learned",
    )
    distance: Literal["sliced", "exact", "entropic"] = Field(
        default="sliced",
        description="transport distance of the retrieval term; `exact` and `entropic` need the package POT",
    )
    directions: int = Field(default=64, ge=1, description="number of random directions of `distance: sliced`")
    entropy: float = Field(default=0.1, gt=0, description="weight of the entropy of `distance: entropic`")
    queries: Literal["first", "all"] = Field(
        default="first",
        description="which modalities are queries of the retrieval term: the first one, or all in turn",
    )
    retrieval_temperature: float = Field(
        default=1.0, gt=0, description="temperature by which the distances of the retrieval term are divided"
    )
    contrastive: float = Field(
        default=1.0, ge=0, description="weight of the contrastive term (eq. 3); 0 leaves it out"
    )
    retrieval: float = Field(
        default=1.0, ge=0, description="weight of the retrieval term (eq. 4); 0 leaves it out"
    )
    reconstruction: float = Field(
        default=1.0,
        ge=0,
        description="weight of the reconstruction of the tokens from the kept slots; 0 leaves it out",
    )
    keep: float = Field(
        default=0.1, ge=0, description="weight of the share of slots that are kept; 0 leaves it out"
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
        default=None,
        description="column of the feature store that the teacher reads; null: the column with the teacher's "
        "name",
    )
    module: str | None = Field(
        default=None,
        description="`package.module:callable` that returns a module to run on the column; null: the features"
        " themselves are the tokens",
    )
    lr: float = Field(default=0.0, ge=0, description="learning rate of the module; 0 freezes it")

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
        description="name of a teacher -> where its tokens come from; by default every modality is a teacher,"
        " with its stored features",
    )
    lr: float | None = Field(
        default=1e-4,
        gt=0,
        description="learning rate of slots and decoders; null: the learning rate of the run, with its "
        "schedule",
    )
    weight_decay: float | None = Field(
        default=1e-2,
        ge=0,
        description="decoupled weight decay of all parameters of the regularizer; null: that of the run",
    )
    warmup: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="share of the run's steps over which the learning rates rise linearly",
    )

    def code(self) -> tuple[str, ...]:
        """The modules of the teachers."""
        return tuple(teacher.module for teacher in self.teachers.values() if teacher.module is not None)

    @field_validator("teachers")
    @classmethod
    def _names_can_name_modules(cls, teachers: dict[str, TeacherConfig]) -> dict[str, TeacherConfig]:
        for name in teachers:
            if not can_name_module(name):
                raise ValueError(f"'{name}' cannot name a teacher; choose another name")
        return teachers
