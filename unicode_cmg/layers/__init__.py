"""Networks that know no method: temporal transformer, context LSTM, spatial pooling, convolution stacks."""

from unicode_cmg.layers.context import ContextLSTM
from unicode_cmg.layers.conv import GridDecoder, GridEncoder, ResidualBlock
from unicode_cmg.layers.spatial import ConvPooling, GatedSum, SpatialAttention
from unicode_cmg.layers.temporal import TemporalTransformer

__all__ = [
    "ContextLSTM",
    "ConvPooling",
    "GatedSum",
    "GridDecoder",
    "GridEncoder",
    "ResidualBlock",
    "SpatialAttention",
    "TemporalTransformer",
]
