"""The configuration of a pretraining run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.methods import available_methods, config_class
from unicode_cmg.regularizers import available_regularizers
from unicode_cmg.regularizers.attached import resolved


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)) or any(value < 1 for value in values):
        raise ValueError(f"{list(values)} is not a rising list of epochs")
    return values


class DataConfig(Config):
    """What to train on."""

    store: str = Field(description="folder of the feature store to train on")
    val_store: str | None = Field(
        default=None, description="feature store whose losses are logged after each epoch; null: none"
    )
    limit: int | None = Field(default=None, ge=1, description="train on the first so many clips; null: all")
    fraction: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="train on this share of them, drawn by the seed; less is part of more",
    )


class OptimizerConfig(Config):
    """Adam on the encoders, decoders and predictors."""

    lr: float = Field(default=4e-4, gt=0, description="learning rate")
    weight_decay: float = Field(
        default=0.0, ge=0, description="decoupled weight decay; 0 is plain Adam, as released"
    )
    schedule: Literal["milestones", "cosine", "constant"] = Field(
        default="milestones", description="how the learning rate falls"
    )
    milestones: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(
        default=(10, 20, 30), description="epochs after which `milestones` multiplies the rate by gamma"
    )
    gamma: float = Field(default=0.5, gt=0, le=1, description="that factor")
    warmup_steps: int = Field(
        default=0, ge=0, description="steps over which the rate rises to lr in a straight line"
    )
    clip_norm: float | None = Field(
        default=0.5, gt=0, description="largest gradient norm of each trained module alone; null: no clipping"
    )


class CriticsConfig(Config):
    """Adam on the variational critics of CLUB."""

    lr: float = Field(default=1e-3, gt=0, description="learning rate of the critics")
    steps: int = Field(default=5, ge=0, description="critic steps before each step of the model")


class TrainingConfig(Config):
    """Length, batches, logging and checkpoints."""

    epochs: int = Field(default=5, ge=1, description="passes over the data")
    batch_size: int = Field(default=80, ge=1, description="clips per step, over all ranks together")
    drop_last: bool = Field(default=False, description="leave out a last batch that is smaller")
    seed: int = Field(default=0, ge=0, description="seed of parameters, data order, dropout and losses")
    log_every: int = Field(default=10, ge=1, description="steps between lines of metrics.jsonl")
    checkpoint_every: int = Field(default=500, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(default=2, ge=1, description="newest checkpoints to keep")
    tensorboard: bool = Field(default=False, description="write the metrics for TensorBoard too")
    precision: Literal["no", "bf16", "fp16"] = Field(
        default="no", description="mixed precision of the networks; no: float32 throughout"
    )
    deterministic: bool = Field(
        default=False, description="refuse GPU kernels whose result varies from run to run (slower)"
    )


class PretrainConfig(Config):
    """Everything a pretraining run depends on."""

    method: dict[str, Any] = Field(description="`name` of the method, and its own settings")
    data: DataConfig = Field(description="the data")
    loss_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="weight by the beginning of a loss term's name, up to a `/` (`reconstruction: 1` covers "
        "`reconstruction/audio`); the longest match counts, other terms have weight 1; "
        "a term of weight 0 is logged but not trained on",
    )
    optimizer: OptimizerConfig = Field(default=OptimizerConfig(), description="the optimizer")
    regularizers: list[dict[str, Any]] = Field(
        default_factory=list,
        description="loss terms beside those of the method: a list, each entry with `name` and settings",
    )
    critics: CriticsConfig = Field(default=CriticsConfig(), description="the critics' optimizer")
    training: TrainingConfig = Field(default=TrainingConfig(), description="the course of training")

    @field_validator("method")
    @classmethod
    def _resolve_method(cls, values: dict[str, Any], info: Any) -> dict[str, Any]:
        """`name` first, then the method's settings, every default written out."""
        where = (info.context or {}).get("where", "configuration")
        name = values.get("name")
        if not isinstance(name, str):
            raise InputError(
                "'method.name' is " + ("missing" if name is None else repr(name)),
                where=where,
                expected="one of " + ", ".join(available_methods()),
            )
        settings = {key: value for key, value in values.items() if key != "name"}
        config = config_class(name, where=f"{where}: method").parse(settings, where=f"{where}: method")
        return {"name": name, **config.model_dump(mode="json")}

    @field_validator("regularizers")
    @classmethod
    def _resolve_regularizers(cls, entries: list[dict[str, Any]], info: Any) -> list[dict[str, Any]]:
        """As for the method: `name` first, then every setting written out."""
        where = f"{(info.context or {}).get('where', 'configuration')}: regularizers"
        names = [entry.get("name") for entry in entries]
        for number, name in enumerate(names):
            if not isinstance(name, str):
                raise InputError(
                    f"'{number}.name' is " + ("missing" if name is None else repr(name)),
                    where=where,
                    expected="one of " + ", ".join(available_regularizers()),
                )
            if name in names[:number]:
                raise InputError(f"'{name}' is there twice", where=where, fix="remove one of them")
        settings = [resolved(entry, where=where)[1].model_dump(mode="json") for entry in entries]
        return [{"name": name, **values} for name, values in zip(names, settings, strict=True)]

    @property
    def method_settings(self) -> dict[str, Any]:
        """The settings of the method without its name."""
        return {key: value for key, value in self.method.items() if key != "name"}
