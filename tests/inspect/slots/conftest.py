from __future__ import annotations

from pathlib import Path

import pytest
from tiny_slot_run import slot_run, write_store

from unicode_cmg.data import FeatureStore


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Audio, video and text of 24 clips."""
    return write_store(tmp_path_factory.mktemp("slots") / "store")


@pytest.fixture(scope="session")
def run(store: FeatureStore) -> Path:
    """A run with slots on the store."""
    return slot_run(store, store.path.parent / "run")
