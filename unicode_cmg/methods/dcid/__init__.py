"""DCID: Dual Cross-modal Information Disentanglement (DCID paper; TOC paper, section 3 and appendix A)."""

from unicode_cmg.methods.dcid.config import CodebookConfig, DCIDConfig, ModalityConfig
from unicode_cmg.methods.dcid.model import DCID, DCIDRepresentation, Draws

__all__ = ["DCID", "CodebookConfig", "DCIDConfig", "DCIDRepresentation", "Draws", "ModalityConfig"]
