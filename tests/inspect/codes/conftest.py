from __future__ import annotations

import numpy as np
import pytest
from lookup_method import Lookup, LookupConfig, LookupWithLevels

from unicode_cmg.data import FeatureStore

CLIPS, STEPS = 40, 6
WORDS = ["a", "dog", "cat", "barks", "meows", "the", "moon"]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Audio and video of all steps, text of one to six words, one of them empty."""
    rng = np.random.default_rng(0)
    valid = np.arange(STEPS) < rng.integers(1, STEPS + 1, CLIPS)[:, None]
    words = [[str(word) for word in rng.choice(WORDS, mask.sum())] for mask in valid]
    words[3][0] = ""
    vectors = {word: rng.standard_normal(4) for word in ["", *WORDS]}
    text = np.zeros((CLIPS, STEPS, 4))
    for row, clip in enumerate(words):
        text[row, : len(clip)] = [vectors[word] for word in clip]
    features = {
        "audio": rng.standard_normal((CLIPS, STEPS, 3)),
        "video": rng.standard_normal((CLIPS, STEPS, 5)),
        "text": text,
    }
    path = tmp_path_factory.mktemp("interpret") / "store"
    ids = [f"clip-{i}" for i in range(CLIPS)]
    FeatureStore.write(path, features, ids, {"text": valid}, tokens={"text": words})
    return FeatureStore.open(path)


@pytest.fixture
def model() -> Lookup:
    """One codebook."""
    return Lookup(LookupConfig(modalities={"audio": 3, "video": 5, "text": 4}, seed=1)).eval()


@pytest.fixture
def residual_model() -> Lookup:
    """Two codebooks, the second on what the first left over."""
    return Lookup(LookupConfig(modalities={"audio": 3, "video": 5, "text": 4}, stages=2, seed=1)).eval()


@pytest.fixture
def clip_model() -> LookupWithLevels:
    """One codebook, one code a clip or a step."""
    return LookupWithLevels(LookupConfig(modalities={"audio": 3, "video": 5, "text": 4}, seed=1)).eval()
