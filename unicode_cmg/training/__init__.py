"""Pretraining: `fit` runs a configuration to the end, or continues a run bit for bit."""

from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.errors import Interrupted, NonFiniteLoss
from unicode_cmg.training.fit import RunResult, fit
from unicode_cmg.training.regularized import load_regularizers

__all__ = ["Interrupted", "NonFiniteLoss", "PretrainConfig", "RunResult", "fit", "load_regularizers"]
