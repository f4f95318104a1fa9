"""The released DCID of the golden files, rebuilt through the public API."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.methods.dcid import DCID
from unicode_cmg.methods.dcid.published import from_published

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str) -> dict[str, np.ndarray]:
    """All arrays of one golden file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def released_dcid() -> DCID:
    """The model of the golden parameters, in float64 and without dropout."""
    params = {
        k: torch.from_numpy(v) for k, v in golden("dcid_params_public").items() if not k.startswith("meta/")
    }
    config, state = from_published(params)
    model = DCID(config.model_copy(update={"dropout": 0.0})).double()
    model.load_state_dict(state, strict=True)
    return model


def golden_batch(arrays: dict[str, np.ndarray]) -> FeatureBatch:
    """The inputs of a golden file."""
    return FeatureBatch.of(
        {
            "audio": torch.from_numpy(arrays["in/audio"]),
            "video": torch.from_numpy(arrays["in/video"]),
            "text": torch.from_numpy(arrays["in/text_raw"]),
        }
    )


def relative_error(ours: Tensor, theirs: np.ndarray | float) -> float:
    """Largest difference over the largest magnitude."""
    expected = torch.as_tensor(theirs, dtype=torch.float64)
    return float((ours.detach().double() - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
