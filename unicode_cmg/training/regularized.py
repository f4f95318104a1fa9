"""A method together with its regularizers, read back from a run: exported models hold no regularizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unicode_cmg.checkpoints.folders import STATE_FILES, newest_checkpoint
from unicode_cmg.checkpoints.native import load_folder
from unicode_cmg.checkpoints.tensors import load_exactly
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method
from unicode_cmg.regularizers import Regularizers
from unicode_cmg.regularizers.attached import columns
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.state import REGULARIZERS, below, read_state
from unicode_cmg.training.validation import check_store, first_view


def load_regularizers(path: Path | str, store: FeatureStore) -> tuple[Method[Any], Regularizers]:
    """A method and the regularizers it was trained with, both in evaluation mode, on the CPU.

    Args:
        path: The folder of a run, whose newest checkpoint is taken, or one of its checkpoints.
        store: Features of the kind the run was trained on; they tell the regularizers their shapes.

    Raises:
        InputError: There is no checkpoint of a run here, the run had no regularizers, a file is damaged,
            or the store lacks what they read.
    """
    folder = _checkpoint(Path(path))
    state, tensors = read_state(folder)
    config = PretrainConfig.parse(state.config, where=folder)
    if not config.regularizers:
        raise InputError("the run was trained without regularizers", where=path)
    method = load_folder(folder, dtype=torch.float32).eval()
    extra = columns(config.regularizers)
    check_store(method, store, torch.device("cpu"), extra)
    example = first_view(method, store, torch.device("cpu"), extra)
    regularizers = Regularizers.build(config.regularizers, example, seed=config.training.seed)
    load_exactly(regularizers, below(REGULARIZERS, tensors), where=folder)
    return method, regularizers.eval()


def _checkpoint(path: Path) -> Path:
    if all((path / name).is_file() for name in STATE_FILES):
        return path
    newest = newest_checkpoint(path)
    if newest is None:
        raise InputError(
            "there is no checkpoint of a run here",
            where=path,
            expected="the folder of a run, or one of its checkpoints",
            fix="regularizers stay with the run they were trained in; its exported model does not hold them",
        )
    return newest
