"""Networks that know no method: temporal transformer, context LSTM, spatial pooling, convolutions, slots."""

from unicode_cmg.layers.conv import GridDecoder, GridEncoder, ResidualBlock
from unicode_cmg.layers.slot_attention import SlotAssignment, SlotAttention
from unicode_cmg.layers.slot_selection import SlotDecision, SlotSelection
from unicode_cmg.layers.spatial import ConvPooling, GatedSum, SpatialAttention
from unicode_cmg.layers.temporal import ContextLSTM, TemporalTransformer

__all__ = [
    "ContextLSTM",
    "ConvPooling",
    "GatedSum",
    "GridDecoder",
    "GridEncoder",
    "ResidualBlock",
    "SlotAssignment",
    "SlotAttention",
    "SlotDecision",
    "SlotSelection",
    "SpatialAttention",
    "TemporalTransformer",
]
