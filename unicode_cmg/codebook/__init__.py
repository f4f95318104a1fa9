"""The discrete space all modalities share: the codebook and how it is used."""

from __future__ import annotations

from unicode_cmg.codebook.quantized import Quantized
from unicode_cmg.codebook.shared import SharedCodebook
from unicode_cmg.codebook.usage import (
    agreement,
    clip_agreement,
    code_counts,
    modality_share,
    perplexity,
    perplexity_of_counts,
    usage_statistics,
)

__all__ = [
    "Quantized",
    "SharedCodebook",
    "agreement",
    "clip_agreement",
    "code_counts",
    "modality_share",
    "perplexity",
    "perplexity_of_counts",
    "usage_statistics",
]
