"""Feature data: the memory-mapped store, the published layouts, and the embedded digits."""

from __future__ import annotations

from unicode_cmg.data.alignment import align
from unicode_cmg.data.labelled import LabelledClips
from unicode_cmg.data.store import FeatureStore, StoreWriter

__all__ = ["FeatureStore", "LabelledClips", "StoreWriter", "align"]
