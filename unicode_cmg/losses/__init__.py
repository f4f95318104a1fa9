"""The losses: pure functions, and thin modules around those that have parameters."""

from __future__ import annotations

from unicode_cmg.losses.club import CLUB
from unicode_cmg.losses.cmcm import cmcm_loss
from unicode_cmg.losses.cpc import CPCResult, CrossModalCPC
from unicode_cmg.losses.info_nce import info_nce
from unicode_cmg.losses.slot_retrieval import slot_retrieval_loss
from unicode_cmg.losses.slots import slot_contrast, slot_similarity, top_pairs
from unicode_cmg.losses.structure import jensen_shannon, neighbourhoods, structure_loss
from unicode_cmg.losses.transport import (
    entropic_distances,
    exact_distances,
    random_directions,
    sliced_distances,
)
from unicode_cmg.losses.volume import gram_loss, span_volumes
from unicode_cmg.losses.vq_vae import commitment_loss, reconstruction_loss

__all__ = [
    "CLUB",
    "CPCResult",
    "CrossModalCPC",
    "cmcm_loss",
    "commitment_loss",
    "entropic_distances",
    "exact_distances",
    "gram_loss",
    "info_nce",
    "jensen_shannon",
    "neighbourhoods",
    "random_directions",
    "reconstruction_loss",
    "sliced_distances",
    "slot_contrast",
    "slot_retrieval_loss",
    "slot_similarity",
    "span_volumes",
    "structure_loss",
    "top_pairs",
]
