"""Encoders: decoded media of one clip to one row of features per step."""

from unicode_cmg.extract.encoders.base import Encoder, EncoderConfig, FunctionEncoder
from unicode_cmg.extract.encoders.registry import available_encoders, encoder_class, load_encoder

__all__ = [
    "Encoder",
    "EncoderConfig",
    "FunctionEncoder",
    "available_encoders",
    "encoder_class",
    "load_encoder",
]
