"""Networks over the steps of a clip: a transformer encoder and a recurrent encoder of words in context."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class TemporalTransformer(nn.Module):
    """A linear map to the model width, then a post-norm transformer encoder over time.

    The steps carry no position, as in the released code: the layers see a clip as a set of segments.

    Args:
        in_dim: Channels of the input.
        dim: Width of the transformer and of its output.
        heads: Attention heads; must divide `dim`.
        layers: Encoder layers.
        feedforward: Hidden width of the position-wise network.
        dropout: Dropout probability, active in training only.
    """

    def __init__(
        self,
        in_dim: int,
        dim: int,
        *,
        heads: int = 4,
        layers: int = 2,
        feedforward: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(in_dim, dim)
        layer = nn.TransformerEncoderLayer(dim, heads, feedforward, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(
        self, x: Float[Tensor, "batch time channels"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time dim"]:
        """Mix the steps of each clip; steps where `mask` is False are never attended to."""
        padding = None
        if mask is not None:
            padding = ~mask
            padding[:, 0] &= mask.any(dim=1)  # without a valid step a clip attends to its first
        mixed: Tensor = self.encoder(self.project(x), src_key_padding_mask=padding)
        return mixed


class ContextLSTM(nn.Module):
    """Two-layer bidirectional LSTM over the steps of a clip (released: words of 768 channels -> 2 x 128).

    Args:
        in_dim: Channels of the input.
        out_dim: Channels of the output, both directions together; even.
        layers: Stacked layers.
    """

    def __init__(self, in_dim: int, out_dim: int, *, layers: int = 2) -> None:
        super().__init__()
        self.lstm = nn.LSTM(in_dim, out_dim // 2, layers, batch_first=True, bidirectional=True)

    def forward(
        self, x: Float[Tensor, "batch time channels"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time dim"]:
        """Contextual features; steps after the last valid one are not read and come out as zeros."""
        features: Tensor
        if mask is None:
            features, _ = self.lstm(x)
            return features
        steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        lengths = (mask * steps).amax(dim=1).clamp(min=1).cpu()  # packing needs the lengths on the host
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        features, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return features
