"""The configuration of a pretraining run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from unicode_cmg.config import Config, NamedConfig, apply_overrides, load_yaml
from unicode_cmg.errors import InputError, did_you_mean
from unicode_cmg.methods import available_methods, method_class
from unicode_cmg.regularizers import available_regularizers, regularizer_class

_SHIPPED = Path(__file__).parents[1] / "configs"


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)) or any(value < 1 for value in values):
        raise ValueError(f"{list(values)} is not a rising list of epochs")
    return values


def _no_is_a_word(value: Any) -> Any:
    return "no" if value is False else value  # what YAML reads for a bare `no`


class DataConfig(Config):
    """What to train on."""

    store: str = Field(description="folder of the feature store to train on")
    val_store: str | None = Field(
        default=None,
        description="feature store on which the losses are measured after each epoch; null: no validation",
    )
    split: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="train on the clips with one of these values in the column `split` of the store, so that "
        "clips for tests are never seen; null: all clips",
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="number of clips to train on, from the start of the store; null: all clips",
    )
    fraction: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of these clips to train on, drawn by the seed; smaller fractions are subsets of "
        "larger ones",
    )
    missing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the modalities of these clips that is left out, drawn by the seed; each clip "
        "keeps at least one, and a smaller share leaves out a part of what a larger one does",
    )
    unpaired: tuple[tuple[str, str], ...] = Field(
        default=(),
        description="pairs of modalities that no clip keeps together: of each pair, the seed draws the "
        "modality that is left out of a clip",
    )


class OptimizerConfig(Config):
    """Adam on the encoders, decoders and predictors."""

    lr: float = Field(default=4e-4, gt=0, description="learning rate")
    weight_decay: float = Field(
        default=0.0, ge=0, description="decoupled weight decay; 0 is plain Adam, as released"
    )
    schedule: Literal["milestones", "cosine", "constant"] = Field(
        default="milestones", description="schedule by which the learning rate falls"
    )
    milestones: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(
        default=(10, 20, 30),
        description="epochs after which `schedule: milestones` multiplies the learning rate by `gamma`",
    )
    gamma: float = Field(
        default=0.5, gt=0, le=1, description="learning-rate decay factor of `schedule: milestones`"
    )
    warmup_steps: int = Field(
        default=0, ge=0, description="steps over which the learning rate rises linearly to `lr`"
    )
    clip_norm: float | None = Field(
        default=0.5,
        gt=0,
        description="largest gradient norm of each trained module; a larger gradient is scaled down to it; "
        "null: no clipping",
    )


class CriticsConfig(Config):
    """Adam on the variational critics of CLUB."""

    lr: float = Field(default=1e-3, gt=0, description="learning rate of the critics")
    steps: int = Field(default=5, ge=0, description="critic steps before each step of the model")


class TrainingConfig(Config):
    """Length, batches, logging and checkpoints."""

    epochs: int = Field(default=5, ge=1, description="passes over the data")
    batch_size: int = Field(default=80, ge=1, description="clips per step, over all ranks together")
    drop_last: bool = Field(
        default=False, description="leave out the last batch of an epoch if it is smaller"
    )
    seed: int = Field(
        default=0, ge=0, description="random seed of parameters, data order, dropout and losses"
    )
    log_every: int = Field(default=10, ge=1, description="steps between two lines of metrics.jsonl")
    checkpoint_every: int = Field(default=500, ge=1, description="steps between two checkpoints")
    keep_checkpoints: int = Field(
        default=2, ge=1, description="number of checkpoints to keep, the newest ones"
    )
    tensorboard: bool = Field(default=False, description="also write the metrics for TensorBoard")
    precision: Annotated[Literal["no", "bf16", "fp16"], BeforeValidator(_no_is_a_word)] = Field(
        default="no", description="mixed precision of the networks; `no` is float32 throughout"
    )
    deterministic: bool = Field(
        default=False,
        description="use only GPU kernels whose results do not vary from run to run, which is slower",
    )


class PretrainConfig(Config):
    """Everything a pretraining run depends on.

    `load` reads it from a YAML file, `parse` from a mapping; docs/reference/configuration.md lists every key.
    """

    method: NamedConfig = Field(description="`name` of the method and its settings, which are listed below")
    data: DataConfig = Field(description="the data")
    loss_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="weights of loss terms, by the beginning of a term's name up to a `/`: `reconstruction: "
        "1` covers `reconstruction/audio`; the longest match counts, and other terms have weight "
        "1; a term of weight 0 is logged but not trained on",
    )
    optimizer: OptimizerConfig = Field(default=OptimizerConfig(), description="the optimizer")
    regularizers: tuple[NamedConfig, ...] = Field(
        default=(),
        description="additional loss terms: a list of entries, each with the `name` of a regularizer and its "
        "settings",
    )
    critics: CriticsConfig = Field(default=CriticsConfig(), description="the critics' optimizer")
    training: TrainingConfig = Field(default=TrainingConfig(), description="the course of training")

    @classmethod
    def load(cls, config: Path | str, settings: Sequence[str] = ()) -> PretrainConfig:
        """Read a configuration and change some of its settings.

        Args:
            config: A YAML file, or the name of a shipped configuration: `dcid`, `hdcid` or `fcid`.
            settings: Changes such as `training.epochs=3`, as `--set` takes them.

        Raises:
            InputError: The file cannot be read, or a setting of it or of the changes is wrong.
        """
        file = Path(config)
        if not file.is_file() and str(config) in shipped_configs():
            file = _SHIPPED / f"{config}.yaml"
        elif not file.exists() and not file.suffix:
            raise InputError(
                "no such file, and no shipped configuration of this name",
                where=config,
                expected=f"a YAML file, or one of {', '.join(shipped_configs())}",
                fix=did_you_mean(config, shipped_configs()),
            )
        if file.is_dir():
            fix = f"write one for a feature store: unicode-cmg init {config} > mine.yaml"
            raise InputError("this is a folder", where=config, expected="a YAML file", fix=fix)
        values = load_yaml(file)
        try:
            return cls.parse(apply_overrides(values, settings), where=config)
        except InputError as error:
            for number, setting in enumerate(settings):
                others = [*settings[:number], *settings[number + 1 :]]
                if _complaint(cls, values, others, config) != str(error):
                    where = str(error.where).replace(str(config), f"--set {setting}", 1)
                    raise InputError(
                        error.what, where=where, expected=error.expected, fix=error.fix
                    ) from None
            raise

    @field_validator("method", mode="before")
    @classmethod
    def _parse_method(cls, values: Any, info: Any) -> NamedConfig:
        return NamedConfig.parse_entry(
            values,
            "method",
            known=available_methods(),
            config_class=lambda name, where: method_class(name, where=where).config_class,
            where=_where(info),
            key="method",
        )

    @field_validator("regularizers", mode="before")
    @classmethod
    def _parse_regularizers(cls, entries: Any, info: Any) -> Any:
        if not isinstance(entries, list | tuple):
            return entries
        parsed = tuple(
            NamedConfig.parse_entry(
                entry,
                "regularizer",
                known=available_regularizers(),
                config_class=lambda name, where: regularizer_class(name, where=where).config_class,
                where=_where(info),
                key=f"regularizers.{number}",
            )
            for number, entry in enumerate(entries)
        )
        names = [entry.name for entry in parsed]
        for name in names:
            if names.count(name) > 1:
                where = f"{_where(info)}: regularizers"
                raise InputError(f"'{name}' is there twice", where=where, fix="remove one of them")
        return parsed


def shipped_configs() -> tuple[str, ...]:
    """Names of the configurations in the package: each method at the sizes of its paper."""
    return tuple(sorted(file.stem for file in _SHIPPED.glob("*.yaml")))


def _complaint(
    kind: type[PretrainConfig], values: Mapping[str, Any], settings: Sequence[str], where: object
) -> str | None:
    """What is wrong with these settings, if anything."""
    try:
        kind.parse(apply_overrides(values, settings), where=where)
    except InputError as error:
        return str(error)
    return None


def _where(info: Any) -> object:  # Any: a ValidationInfo is a protocol that cannot be checked when it runs
    return (info.context or {}).get("where", "configuration")
