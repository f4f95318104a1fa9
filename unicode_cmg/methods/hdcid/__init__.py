"""H-DCID: DCID in two layers, the second on what the first left to each modality (TOC paper, section 4.2)."""

from unicode_cmg.methods.hdcid.config import HDCIDConfig
from unicode_cmg.methods.hdcid.model import HDCID

__all__ = ["HDCID", "HDCIDConfig"]
