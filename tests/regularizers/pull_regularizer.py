"""A regularizer with everything one can have: parameters, a column of its own, random draws, two terms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from tiny_models import changed_config, values_of
from torch import Tensor, nn

from unicode_cmg.batch import StepView
from unicode_cmg.data import FeatureStore
from unicode_cmg.regularizers import ParameterGroup, Regularizer, RegularizerConfig
from unicode_cmg.training import PretrainConfig


class PullConfig(RegularizerConfig):
    column: str = Field(default="teacher", description="the column features are pulled to")
    lr: float | None = Field(default=None, gt=0, description="a rate of its own")
    warmup: float = Field(default=0.0, ge=0, le=1, description="its warm-up")
    noise: float = Field(default=0.1, ge=0, description="noise on the column")


class Pull(Regularizer):
    """Pulls general features towards a linear map of a column; a second term looks at everything else."""

    name: ClassVar[str] = "pull"
    config_class: ClassVar[type[RegularizerConfig]] = PullConfig

    def __init__(self, config: PullConfig, example: StepView) -> None:
        super().__init__(config, example)
        dim = next(iter(example.general.values())).shape[-1]
        self.map = nn.Linear(example.features[config.column].shape[-1], dim)

    @classmethod
    def columns(cls, config: PullConfig) -> tuple[str, ...]:
        return (config.column,)

    def losses(self, view: StepView, *, generator: torch.Generator) -> dict[str, Tensor]:
        column = view.features[self.config.column]
        if self.training:
            column = column + self.config.noise * torch.randn(column.shape, generator=generator)
        target = self.map(column).mean(1)
        near = [(z.mean(1) - target).square().mean() for z in view.general.values()]
        shown = [*view.specific.values(), *view.codes.values()]
        size = [x.square().mean() for x in shown]
        return {"near": torch.stack(near).sum(), "size/all": torch.stack(size).sum()}

    def loss_factors(self) -> Mapping[str, float]:
        return {"size": 0.5}

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(tuple(self.parameters()), lr=self.config.lr, warmup=self.config.warmup)]


DCID = {"name": "dcid", **values_of("dcid", {"audio": {"dim": 6}, "video": {"dim": 4}})}


def write_store(path: Path, *, clips: int = 22) -> Path:
    """Noise in three columns, of which the method reads two."""
    rng = np.random.default_rng(0)
    sizes = {"audio": 6, "video": 4, "teacher": 5}
    features = {m: rng.standard_normal((clips, 5, c)).astype(np.float32) for m, c in sizes.items()}
    FeatureStore.write(path, features, [f"clip{i}" for i in range(clips)])
    return path


def pull_run(store: Path, *regularizers: Mapping[str, Any], **changes: Any) -> PretrainConfig:
    """22 clips in batches of 8: three steps an epoch, six in all; `changes` are `section__key=value`."""
    values: dict[str, Any] = {
        "method": DCID,
        "data": {"store": str(store)},
        "regularizers": [dict(entry) for entry in regularizers],
        "optimizer": {"lr": 0.01},
        "critics": {"steps": 1},
        "training": {"epochs": 2, "batch_size": 8, "log_every": 1, "checkpoint_every": 100},
    }
    return changed_config(values, changes)
