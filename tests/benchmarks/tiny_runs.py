"""Small evaluations of every task: the data, the model and the head that each of them needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tiny_ave import tiny_model
from tiny_avvp import tiny_localizer
from tiny_codes_method import TinyMethod
from torch import Tensor

from benchmarks import HeadConfig, TaskResult, evaluate
from unicode_cmg.batch import Encoding
from unicode_cmg.data.layouts.zips import read_clip, write_clip

ROOTS = {"ave": "ave", "avvp": "avvp", "ave-avvp": "across", "ucf-vgg": "ucf_vgg"}
"""Task -> the fixture of its data; retrieval sets lie in the fixture "retrieval"."""
TASKS = [*ROOTS, "retrieval-clotho", "retrieval-coco", "retrieval-flickr-sound"]
FAST = HeadConfig(lr=0.02, epochs=8, batch_size=16)
_EVENTS = HeadConfig(lr=0.03, epochs=8, batch_size=16)
_HEADS = {
    "ave": FAST,
    "ucf-vgg": FAST,
    "avvp": _EVENTS,
    "ave-avvp": _EVENTS.model_copy(update={"epochs": 12}),
}


def model_of(task: str) -> TinyMethod:
    """A model that knows the common space of the data."""
    return tiny_localizer() if "avvp" in task else tiny_model()


def run(task: str, root: Path, protocol: Any = "held-out", model: Any = None, **options: Any) -> TaskResult:
    """Evaluate with a head that learns fast."""
    head = {"head": _HEADS[task]} if task in _HEADS else {}
    return evaluate(model or model_of(task), task, root, protocol, **{"continuous": False, **head, **options})


def copy_of(root: Path, to: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(root, to / "copy"))


def ruin(folder: Path, clips: Iterable[str]) -> None:
    """Let the features of some clips be all alike."""
    for name in clips:
        file = folder / f"{name}.zip"
        write_clip(file, np.full_like(read_clip(file), 3.0))


class _OneCode(TinyMethod):
    def encode_batch(self, modality: str, features: Tensor, mask: Tensor | None = None) -> Encoding:
        assert mask is not None
        weights = mask[..., None].float()
        mean = (features * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)
        return super().encode_batch(modality, mean, mask)


def one_code_a_clip(model: TinyMethod) -> TinyMethod:
    """The model with a code of the mean over the real steps, as FCID's clip level has it."""
    model.__class__ = _OneCode
    return model
