"""The released FCID of the golden files, rebuilt through the public API."""

from __future__ import annotations

import torch
from released_dcid import golden

from unicode_cmg.methods.fcid import FCID
from unicode_cmg.methods.fcid.released import from_released


def released_fcid() -> FCID:
    """The model of the golden parameters, in float64 and without dropout."""
    params = {
        k: torch.from_numpy(v) for k, v in golden("fcid_params_public").items() if not k.startswith("meta/")
    }
    config, state = from_released(params)
    model = FCID(config.model_copy(update={"dropout": 0.0})).double()
    model.load_state_dict(state, strict=True)
    return model
