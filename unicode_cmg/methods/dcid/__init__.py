"""DCID: Dual Cross-modal Information Disentanglement (Xia et al., NeurIPS 2023; TOC paper, section 3 and appendix A)."""

from unicode_cmg.methods.dcid.config import CodebookConfig, DCIDConfig, ModalityConfig
from unicode_cmg.methods.dcid.model import DCID, DCIDRepresentation, Draws

__all__ = ["DCID", "CodebookConfig", "DCIDConfig", "DCIDRepresentation", "Draws", "ModalityConfig"]
