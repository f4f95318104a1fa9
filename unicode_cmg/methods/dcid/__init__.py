"""DCID: Dual Cross-modal Information Disentanglement (DCID paper; TOC paper, section 3 and appendix A)."""

from unicode_cmg.methods.dcid.config import DCIDConfig, ModalityConfig
from unicode_cmg.methods.dcid.disentangler import Draws
from unicode_cmg.methods.dcid.layer import LayerRepresentation
from unicode_cmg.methods.dcid.model import DCID

__all__ = ["DCID", "DCIDConfig", "Draws", "LayerRepresentation", "ModalityConfig"]
