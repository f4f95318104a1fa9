"""Where the models of a row come from: the sweep pretrains them, or they exist already."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unicode_cmg.config import apply_overrides, load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.model import Model
from unicode_cmg.training import PretrainConfig

Read = Mapping[str, tuple[str, ...]]
"""Suffix of a table row -> code layers that its heads see; empty for all."""


@dataclass(frozen=True)
class RowData:
    """Where the data of a row are, if they are not those of the sweep.

    Attributes:
        digits: Recipe of the embedded digits.
        folder: Folder of the data of the tasks.
        store: The feature store to pretrain on, relative to the folder of the data.
        tasks: Tasks; None for those of the sweep.
        options: What the tasks take beside the folder.
    """

    digits: str | None = None
    folder: Path | None = None
    store: str = "pretrain"
    tasks: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row(ABC):
    """Models that give one row of a table, or one for each selection of code layers.

    Attributes:
        name: Of the row.
        read: Which code layers the heads see.
        data: Data of this row alone.
    """

    name: str
    read: Read
    data: RowData = field(default=RowData(), kw_only=True)

    @property
    def folder(self) -> str:
        """Name of its folder: readable, and different for different rows."""
        plain = "".join(c if c.isalnum() else "-" for c in self.name).strip("-")
        return f"{plain}-{hashlib.sha256(self.name.encode()).hexdigest()[:6]}"

    def label(self, suffix: str) -> str:
        """Name of the table row that one entry of `read` gives."""
        return f"{self.name}, {suffix}" if suffix else self.name

    @abstractmethod
    def runs(self, seeds: Sequence[int]) -> Sequence[int]:
        """A number for each of its models."""

    @abstractmethod
    def identity(self, run: int, data: Path) -> dict[str, Any]:
        """Plain values that tell a model from another one under the same name."""

    def completed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings in an older result file, with the defaults of settings that were added since."""
        return dict(settings)

    @abstractmethod
    def model(self, run: int, data: Path, folder: Path) -> tuple[Model, float | None]:
        """One of its models in evaluation mode, and the wall-clock seconds of its pretraining.

        The seconds are None for a model that was pretrained elsewhere.

        Args:
            run: Its number.
            data: Folder of the data sets; the model is pretrained on the feature store in it.
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
        trust_code: Whether to import and run what it names as `package.module:callable`.
    """

    options: tuple[str, ...]
    config: Path
    overrides: tuple[str, ...]
    trust_code: bool = False

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
        return _identity(self._seeded(run, data))

    def completed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        values = {key: value for key, value in settings.items() if key in PretrainConfig.model_fields}
        values["data"] = {"store": "", **values.get("data", {})}
        try:
            config = PretrainConfig.parse(values, where=self.name)
        except InputError:  # one of its settings no longer exists: not the same run
            return dict(settings)
        return {**settings, **_identity(config)}

    def model(self, run: int, data: Path, folder: Path) -> tuple[Model, float | None]:
        from unicode_cmg import load_pretrained
        from unicode_cmg.training import fit

        config = self._seeded(run, data)
        trained = fit(config, folder, resume="auto", progress=False, trust_code=self.trust_code)
        return load_pretrained(trained.model), trained.seconds

    def _seeded(self, seed: int, data: Path) -> PretrainConfig:
        return self.pretraining(f"data.store={data / self.data.store}", f"training.seed={seed}")


def _identity(config: PretrainConfig) -> dict[str, Any]:
    """All settings except the location of the data, which does not change the run."""
    return config.model_dump(mode="json", exclude={"data": {"store", "val_store"}})


@dataclass(frozen=True)
class SavedRow(Row):
    """Models that exist already.

    Attributes:
        models: Their files or folders.
    """

    models: tuple[Path, ...]

    def runs(self, seeds: Sequence[int]) -> Sequence[int]:
        return range(len(self.models))

    def identity(self, run: int, data: Path) -> dict[str, Any]:
        from unicode_cmg.checkpoints.tensors import state_fingerprint

        return {"checkpoint": state_fingerprint(self.model(run, data, data)[0])}

    def model(self, run: int, data: Path, folder: Path) -> tuple[Model, float | None]:
        from unicode_cmg import load_pretrained

        return load_pretrained(self.models[run]), None
