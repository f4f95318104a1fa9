from __future__ import annotations

import numpy as np
import pytest

from unicode_cmg.data import FeatureStore

CLIPS, STEPS = 11, 5
WORDS = ["a", "dog", "barks", "at", "the", "moon"]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Clips of varying length; the steps of text are words, and one clip has a hole."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("encoding") / "store"
    lengths = rng.integers(1, STEPS + 1, CLIPS)
    valid = np.arange(STEPS) < lengths[:, None]
    valid[4] = [True, False, True, False, True]
    features = {
        "audio": rng.standard_normal((CLIPS, STEPS, 6)).astype(np.float16),
        "video": rng.standard_normal((CLIPS, STEPS, 2, 2, 3)).astype(np.float32),
        "text": rng.standard_normal((CLIPS, STEPS, 4)).astype(np.float64),
    }
    words = [[WORDS[(clip + k) % len(WORDS)] for k in range(mask.sum())] for clip, mask in enumerate(valid)]
    ids = [f"clip-{i}" for i in range(CLIPS)]
    FeatureStore.write(path, features, ids, {"text": valid}, tokens={"text": words})
    return FeatureStore.open(path)
