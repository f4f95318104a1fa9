"""A feature store through a trained model: codes as a stream, as a table, and back as arrays."""

from __future__ import annotations

from unicode_cmg.encoding.reading import NO_CODE, CodeTable, read_codes
from unicode_cmg.encoding.stream import CodeBatch, check_level, common_modalities, iterate_codes, layer_codes
from unicode_cmg.encoding.table import EncodedStore, encode_store

__all__ = [
    "NO_CODE",
    "CodeBatch",
    "CodeTable",
    "EncodedStore",
    "check_level",
    "common_modalities",
    "encode_store",
    "iterate_codes",
    "layer_codes",
    "read_codes",
]
