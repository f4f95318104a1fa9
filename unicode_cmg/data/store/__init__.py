"""The feature store: a folder of memory-mapped arrays with the features of many clips, read by batches.

The layout on disk is described in `docs/reference/files.md`.
"""

from __future__ import annotations

from unicode_cmg.data.store.feature_store import FeatureStore
from unicode_cmg.data.store.writer import StoreWriter

__all__ = ["FeatureStore", "StoreWriter"]
