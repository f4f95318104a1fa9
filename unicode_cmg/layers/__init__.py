"""Networks that know no method: transformers and LSTMs over time, pooling, convolutions, scaling, slots."""

from unicode_cmg.layers.conv import GridDecoder, GridEncoder, ResidualBlock
from unicode_cmg.layers.slot_attention import SlotAssignment, SlotAttention
from unicode_cmg.layers.slot_selection import SlotDecision, SlotSelection
from unicode_cmg.layers.spatial import ConvPooling, GatedSum, SpatialAttention
from unicode_cmg.layers.standardization import InputStandardization
from unicode_cmg.layers.temporal import ContextLSTM, TemporalTransformer

__all__ = [
    "ContextLSTM",
    "ConvPooling",
    "GatedSum",
    "GridDecoder",
    "GridEncoder",
    "InputStandardization",
    "ResidualBlock",
    "SlotAssignment",
    "SlotAttention",
    "SlotDecision",
    "SlotSelection",
    "SpatialAttention",
    "TemporalTransformer",
]
