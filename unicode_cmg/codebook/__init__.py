"""The discrete space all modalities share: the codebook and how it is used."""

from __future__ import annotations

from unicode_cmg.codebook.build import CodebookConfig, build_quantizer
from unicode_cmg.codebook.distances import squared_distances
from unicode_cmg.codebook.finite_scalar import FiniteScalar
from unicode_cmg.codebook.quantized import Lookup, Quantized
from unicode_cmg.codebook.quantizer import Quantizer
from unicode_cmg.codebook.residual import ResidualCodebook
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
    "CodebookConfig",
    "FiniteScalar",
    "Lookup",
    "Quantized",
    "Quantizer",
    "ResidualCodebook",
    "SharedCodebook",
    "agreement",
    "build_quantizer",
    "clip_agreement",
    "code_counts",
    "modality_share",
    "perplexity",
    "perplexity_of_counts",
    "squared_distances",
    "usage_statistics",
]
