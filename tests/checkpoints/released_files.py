"""The released checkpoints of the golden files, and what the released code computes with them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from places import GOLDEN
from torch import Tensor

from unicode_cmg import Method, load_published
from unicode_cmg.checkpoints.released import LAYOUTS

RELEASED = tuple(sorted(LAYOUTS))
MODALITIES = ("audio", "video", "text")


def golden_file(method: str) -> Path:
    """The checkpoint as the released `save_models` wrote it."""
    return GOLDEN / f"{method}_ckpt_public.pt"


def content(path: Path) -> dict[str, Any]:
    """The entries of a checkpoint, free to be changed."""
    values = _read(path) if path.parent == GOLDEN else torch.load(path, weights_only=True)
    return {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}


@cache
def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = torch.load(path, weights_only=True)
    return values


@cache
def loaded(method: str, dtype: torch.dtype = torch.float64) -> Method[Any]:
    """The model of the golden checkpoint; shared by tests, so not to be changed."""
    return load_published(golden_file(method), dtype=dtype)


def state_dicts(path: Path) -> dict[str, dict[str, Tensor]]:
    """Entry -> state dict, of the modules of a checkpoint."""
    return {key: value for key, value in content(path).items() if key.endswith("_parameters")}


def whole_state(method: str) -> dict[str, dict[str, Tensor]]:
    """Entry -> state dict, of every module of the released training state, decoders and critics too."""
    result: dict[str, dict[str, Tensor]] = {}
    with np.load(GOLDEN / f"{method}_params_public.npz") as arrays:
        for name in arrays.files:
            module, key = name.split("/")
            if module != "meta":
                result.setdefault(f"{module}_parameters", {})[key] = torch.from_numpy(arrays[name])
    return result


def features(method: str) -> dict[str, Tensor]:
    """The inputs of the golden outputs."""
    with np.load(GOLDEN / f"{method}_io_public.npz") as arrays:
        return {m: torch.from_numpy(arrays["in/text_raw" if m == "text" else f"in/{m}"]) for m in MODALITIES}


def released_codes(method: str, modality: str) -> Tensor:
    """What the released downstream entry point of a modality returns."""
    with np.load(GOLDEN / f"{method}_io_public.npz") as arrays:
        name = f"out/{modality.capitalize()}_VQ_Encoder"
        if method == "fcid":
            return torch.from_numpy(arrays[f"{name}_C_ret"]).unsqueeze(1)
        if name in arrays:
            return torch.from_numpy(arrays[name])
        return torch.from_numpy(np.concatenate([arrays[f"{name}/vq"], arrays[f"{name}/vq_2"]], axis=-1))


def our_codes(model: Method[Any], method: str, modality: str) -> Tensor:
    """The same by our model."""
    x = features(method)[modality].to(next(model.parameters()).dtype)
    level = {"level": "clip"} if method == "fcid" else {}
    with torch.no_grad():
        return model.encode(modality, x, **level).codes


def same_tensors(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuse a difference in modules, keys, types, shapes or bits."""
    assert set(ours) == set(theirs)
    for entry, state in theirs.items():
        assert set(ours[entry]) == set(state), entry
        for key, tensor in state.items():
            assert ours[entry][key].dtype == tensor.dtype, key
            assert torch.equal(ours[entry][key], tensor), key
