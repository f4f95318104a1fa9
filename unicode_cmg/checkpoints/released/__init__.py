"""Checkpoints of the methods' released code, by the name of the method."""

from __future__ import annotations

from unicode_cmg.checkpoints.released.dcid import DCID
from unicode_cmg.checkpoints.released.fcid import FCID
from unicode_cmg.checkpoints.released.hdcid import HDCID
from unicode_cmg.checkpoints.released.layout import ReleasedLayout

__all__ = ["LAYOUTS", "ReleasedLayout"]

LAYOUTS: dict[str, ReleasedLayout] = {layout.method: layout for layout in (DCID, FCID, HDCID)}
"""Name of a method -> layout of its released checkpoints. A method without an entry has none."""
