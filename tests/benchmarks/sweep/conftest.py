from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_ave import DIM, STEPS, write_tiny_ave
from tiny_models import values_of

from unicode_cmg.checkpoints import save_pretrained
from unicode_cmg.data import FeatureStore
from unicode_cmg.methods import method_class


@pytest.fixture(scope="session")
def method() -> dict[str, Any]:
    """Settings of a small DCID for the data."""
    return values_of("dcid", {name: {"dim": DIM, "specific_dim": 8} for name in ("audio", "video")})


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small AVE data set, and noise of its shapes to pretrain on."""
    root = write_tiny_ave(tmp_path_factory.mktemp("sweep"), text=False)
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(20, STEPS, DIM)).astype(np.float32) for name in ("audio", "video")}
    FeatureStore.write(root / "pretrain", features, [f"clip{i}" for i in range(20)])
    return root


@pytest.fixture(scope="session")
def models(method: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two untrained models of the data, `one` and `two`."""
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        save_pretrained(method_class("dcid").from_values(method, where="test"), root / name)
    return root
