"""The losses: pure functions, and thin modules around those that have parameters."""

from __future__ import annotations

from unicode_cmg.losses.club import CLUB
from unicode_cmg.losses.cmcm import cmcm_loss
from unicode_cmg.losses.commitment import commitment_loss
from unicode_cmg.losses.cpc import CPCResult, CrossModalCPC
from unicode_cmg.losses.info_nce import info_nce
from unicode_cmg.losses.reconstruction import reconstruction_loss

__all__ = [
    "CLUB",
    "CPCResult",
    "CrossModalCPC",
    "cmcm_loss",
    "commitment_loss",
    "info_nce",
    "reconstruction_loss",
]
