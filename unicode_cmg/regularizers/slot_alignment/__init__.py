"""Slot-guided alignment (SGA paper): a regularizer, and the aligner alone for models that are not ours."""

from unicode_cmg.regularizers.slot_alignment.aligner import SlotAligner
from unicode_cmg.regularizers.slot_alignment.config import AlignerConfig, SlotAlignmentConfig, TeacherConfig
from unicode_cmg.regularizers.slot_alignment.records import (
    Alignment,
    Decomposition,
    TokenLayout,
    TokenLayouts,
    Tokens,
)
from unicode_cmg.regularizers.slot_alignment.regularizer import SlotAlignment

__all__ = [
    "AlignerConfig",
    "Alignment",
    "Decomposition",
    "SlotAligner",
    "SlotAlignment",
    "SlotAlignmentConfig",
    "TeacherConfig",
    "TokenLayout",
    "TokenLayouts",
    "Tokens",
]
