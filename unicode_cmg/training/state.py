"""The training state beside a checkpoint's model: tensors in safetensors, the rest in JSON, no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from unicode_cmg.checkpoints.folders import STATE_FILES
from unicode_cmg.checkpoints.tensors import read_tensors, write_tensors
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json

VALUES_FILE, TENSORS_FILE = STATE_FILES

REGULARIZERS = "regularizers/"
"""What the keys of the regularizers' tensors begin with."""


class TrainingState(Config):
    """What a resumed run needs besides the model and tensors to go on as if it had never stopped."""

    format_version: Literal[1] = Field(default=1, description="version of this layout")
    step: int = Field(ge=0, description="steps done")
    epoch: int = Field(ge=0, description="epochs finished")
    batch: int = Field(ge=0, description="steps done in the epoch after those")
    seconds: float = Field(ge=0, description="time trained so far")
    config: dict[str, Any] = Field(description="the run's configuration")
    data: str = Field(description="fingerprint of the training data")
    random: dict[str, Any] = Field(description="global random states of numpy and Python")
    window: dict[str, Any] = Field(description="names and length of the unfinished log window")
    scaler: dict[str, Any] | None = Field(description="the loss scaler of fp16")


def write_state(folder: Path, state: TrainingState, tensors: Mapping[str, Tensor]) -> None:
    """Write both files of the state into an existing folder, in place."""
    (folder / VALUES_FILE).write_text(state.model_dump_json() + "\n", encoding="utf-8")
    write_tensors(folder / TENSORS_FILE, tensors)


def read_state(folder: Path) -> tuple[TrainingState, dict[str, Tensor]]:
    """What `write_state` wrote.

    Raises:
        InputError: A file is missing, truncated, or was written by another version.
    """
    state = TrainingState.parse(read_json(folder / VALUES_FILE), where=folder / VALUES_FILE)
    return state, read_tensors(folder / TENSORS_FILE)


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer under keys like `optimizer.main/3/exp_avg`."""
    return {
        f"optimizer.{name}/{parameter}/{key}": value
        for parameter, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def restore_optimizer(
    name: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], *, where: object
) -> None:
    """Put the state that `optimizer_tensors` listed back; rates and other options stay as they are.

    Raises:
        InputError: The state does not fit the optimizer's parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in below(f"optimizer.{name}/", tensors).items():
        index, _, slot = key.partition("/")
        if not index.isdigit() or int(index) >= len(parameters):
            raise InputError(
                f"state of an unknown parameter '{key}'", where=where, fix="the file may be damaged"
            )
        if value.ndim and value.shape != parameters[int(index)].shape:
            raise InputError(
                f"'{key}' has shape {list(value.shape)}",
                where=where,
                expected=f"{list(parameters[int(index)].shape)}",
            )
        state.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose key starts with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def above(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors with `prefix` before every key."""
    return {prefix + key: value for key, value in tensors.items()}
