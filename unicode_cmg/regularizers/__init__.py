"""Regularizers: loss terms that any pretraining configuration can add to any method.

>>> from unicode_cmg.regularizers import available_regularizers
>>> "slot_alignment" in available_regularizers()
True
"""

from unicode_cmg.regularizers.base import ParameterGroup, Regularizer, RegularizerConfig
from unicode_cmg.regularizers.registry import (
    Regularizers,
    available_regularizers,
    check_trusted,
    columns,
    regularizer_class,
)

__all__ = [
    "ParameterGroup",
    "Regularizer",
    "RegularizerConfig",
    "Regularizers",
    "available_regularizers",
    "check_trusted",
    "columns",
    "regularizer_class",
]
