from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unicode_cmg.checkpoints import save_pretrained
from unicode_cmg.data.digits import write_digits
from unicode_cmg.methods import build_method

MODEL = {
    **{"dim": 8, "num_codes": 12, "heads": 2, "layers": 1, "feedforward": 16},
    **{"pooling_dim": 4, "critic_hidden": 8},
    "modalities": {
        "audio": {"dim": 104, "specific_dim": 8},
        "video": {"dim": 16, "grid": [7, 7], "specific_dim": 8},
    },
}


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded data sets."""
    root = tmp_path_factory.mktemp("sweep") / "digits"
    write_digits(root)
    return root


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two untrained models of the digits, `one` and `two`."""
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        save_pretrained(build_method("dcid", MODEL, where="test"), root / name)
    return root
