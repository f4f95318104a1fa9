"""Where the models of a row come from: they are pretrained, or they are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unicode_cmg.config import apply_overrides, load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method
from unicode_cmg.training import PretrainConfig

Read = Mapping[str, tuple[str, ...]]
"""Suffix of a table row -> code layers its heads see; empty for all."""


@dataclass(frozen=True)
class Model:
    """A model to measure.

    Attributes:
        method: In evaluation mode.
        seconds: Wall-clock time of its pretraining; None where that happened elsewhere.
    """

    method: Method[Any]
    seconds: float | None


@dataclass(frozen=True)
class Row(ABC):
    """Models that count as one row of a table, or as one for each way to read them.

    Attributes:
        name: Of the row.
        read: Which code layers heads see.
    """

    name: str
    read: Read

    def label(self, read: str) -> str:
        """Name of the table row that one way to read the models makes."""
        return f"{self.name}, {read}" if read else self.name

    @abstractmethod
    def runs(self, seeds: Sequence[int]) -> Sequence[int]:
        """A number for each of its models."""

    @abstractmethod
    def identity(self, run: int, data: Path) -> dict[str, Any]:
        """What tells a model from another one under the same name, as plain values."""

    def completed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings kept with an older result, with the defaults of those that there were not then."""
        return dict(settings)

    @abstractmethod
    def model(self, run: int, data: Path, folder: Path) -> Model:
        """One of its models.

        Args:
            run: Its number.
            data: Folder of the data sets; its feature store `pretrain` is trained on.
            folder: Folder of the run.

        Raises:
            InputError: The folder holds another run, the data does not fit, or there is no such model.
        """


@dataclass(frozen=True)
class TrainedRow(Row):
    """Models of one configuration, one for each pretraining seed.

    Attributes:
        options: Name of its option on each axis of the sweep.
        config: File of the configuration.
        overrides: Changes to it.
    """

    options: tuple[str, ...]
    config: Path
    overrides: tuple[str, ...]

    def pretraining(self, *changes: str) -> PretrainConfig:
        """The configuration of its runs.

        Raises:
            InputError: The file or a change is wrong.
        """
        values = apply_overrides(load_yaml(self.config), [*self.overrides, *changes])
        return PretrainConfig.parse(values, where=f"{self.config}: {self.name}")

    def runs(self, seeds: Sequence[int]) -> Sequence[int]:
        return seeds

    def identity(self, run: int, data: Path) -> dict[str, Any]:
        return _identity(self._config(run, data))

    def completed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        values = {key: value for key, value in settings.items() if key in PretrainConfig.model_fields}
        values["data"] = {"store": "", **values.get("data", {})}
        try:
            config = PretrainConfig.parse(values, where=self.name)
        except InputError:  # a setting of then is gone: not the same run
            return dict(settings)
        return {**settings, **_identity(config)}

    def model(self, run: int, data: Path, folder: Path) -> Model:
        from unicode_cmg import load_pretrained
        from unicode_cmg.training import fit

        trained = fit(self._config(run, data), folder, resume="auto", progress=False)
        return Model(load_pretrained(trained.model), trained.seconds)

    def _config(self, seed: int, data: Path) -> PretrainConfig:
        return self.pretraining(f"data.store={data / 'pretrain'}", f"training.seed={seed}")


def _identity(config: PretrainConfig) -> dict[str, Any]:
    """All settings but where the data lies, which says nothing about the run."""
    values = config.model_dump(mode="json")
    data = {key: value for key, value in values["data"].items() if key not in ("store", "val_store")}
    return {**values, "data": data}


@dataclass(frozen=True)
class SavedRow(Row):
    """Models that are there already.

    Attributes:
        models: Their files or folders.
    """

    models: tuple[Path, ...]

    def runs(self, seeds: Sequence[int]) -> Sequence[int]:
        return range(len(self.models))

    def identity(self, run: int, data: Path) -> dict[str, Any]:
        from unicode_cmg import load_pretrained
        from unicode_cmg.checkpoints.fingerprint import state_fingerprint

        return {"checkpoint": state_fingerprint(load_pretrained(self.models[run]))}

    def model(self, run: int, data: Path, folder: Path) -> Model:
        from unicode_cmg import load_pretrained

        return Model(load_pretrained(self.models[run]), None)
