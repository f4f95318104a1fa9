"""The discrete space that all modalities share: quantizers, their configuration, and usage statistics."""

from __future__ import annotations

from unicode_cmg.codebook.config import CodebookConfig, Fidelity, build_quantizer
from unicode_cmg.codebook.finite_scalar import FiniteScalar
from unicode_cmg.codebook.quantizer import (
    Lookup,
    Quantized,
    Quantizer,
    nearest_codewords,
    squared_distances,
)
from unicode_cmg.codebook.released_rule import ReleasedSharedCodebook
from unicode_cmg.codebook.residual import ResidualCodebook
from unicode_cmg.codebook.shared import SharedCodebook
from unicode_cmg.codebook.usage import (
    agreement,
    clip_agreement,
    code_counts,
    perplexity,
    perplexity_of_counts,
    usage_statistics,
)

__all__ = [
    "CodebookConfig",
    "Fidelity",
    "FiniteScalar",
    "Lookup",
    "Quantized",
    "Quantizer",
    "ReleasedSharedCodebook",
    "ResidualCodebook",
    "SharedCodebook",
    "agreement",
    "build_quantizer",
    "clip_agreement",
    "code_counts",
    "nearest_codewords",
    "perplexity",
    "perplexity_of_counts",
    "squared_distances",
    "usage_statistics",
]
