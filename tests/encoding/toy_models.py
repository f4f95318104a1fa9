"""Models for the store of these tests."""

from __future__ import annotations

from typing import Any

import torch
from lookup_method import Lookup, LookupConfig, LookupWithLevels

from unicode_cmg.methods import method_class
from unicode_cmg.methods.base import Method


def dcid(**codebook: Any) -> Method[Any]:
    """A small DCID as it begins, for all three modalities; text goes through an LSTM."""
    settings = {
        "modalities": {
            "audio": {"dim": 6},
            "video": {"dim": 3, "grid": [2, 2]},
            "text": {"dim": 4, "context": 4},
        },
        "dim": 8,
        "num_codes": 9,
        "heads": 2,
        "transformer_layers": 1,
        "feedforward": 8,
        "pooling_dim": 4,
        "codebook": codebook,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return method_class("dcid").from_values(settings, where="test")


def lookup(levels: bool = False, **settings: Any) -> Lookup:
    """A method for audio and text."""
    config = LookupConfig(modalities={"audio": 6, "text": 4}, **settings)
    return (LookupWithLevels if levels else Lookup)(config)
