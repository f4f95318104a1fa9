"""FCID: Fine and Coarse cross-modal Information Disentangling (FCID paper, section 4.2)."""

from unicode_cmg.methods.fcid.config import FCIDConfig
from unicode_cmg.methods.fcid.model import FCID, FCIDRepresentation

__all__ = ["FCID", "FCIDConfig", "FCIDRepresentation"]
