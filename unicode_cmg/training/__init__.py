"""Pretraining: `fit` runs a configuration to the end, or continues a run bit for bit."""

from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.diagnosis import Callback, Finding, Verdict
from unicode_cmg.training.fit import RunResult, fit, load_regularizers
from unicode_cmg.training.metrics import NonFiniteLoss
from unicode_cmg.training.process import Interrupted

__all__ = [
    "Callback",
    "Finding",
    "Interrupted",
    "NonFiniteLoss",
    "PretrainConfig",
    "RunResult",
    "Verdict",
    "fit",
    "load_regularizers",
]
