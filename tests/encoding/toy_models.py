"""Models for the store of these tests."""

from __future__ import annotations

from typing import Any

import torch
from lookup_method import Lookup, LookupConfig, LookupWithLevels
from tiny_models import model_of

from unicode_cmg.methods.base import Method


def dcid(**codebook: Any) -> Method[Any]:
    """A small DCID as it begins, for all three modalities; text goes through an LSTM."""
    modalities = {"audio": {"dim": 6}, "video": {"dim": 3, "grid": [2, 2]}, "text": {"dim": 4, "context": 4}}
    with torch.random.fork_rng():
        return model_of("dcid", modalities, num_codes=9, feedforward=8, codebook=codebook)


def lookup(levels: bool = False, **settings: Any) -> Lookup:
    """A method for audio and text."""
    config = LookupConfig(modalities={"audio": 6, "text": 4}, **settings)
    return (LookupWithLevels if levels else Lookup)(config)
