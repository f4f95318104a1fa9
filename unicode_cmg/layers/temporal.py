"""Networks over the steps of a clip: a transformer encoder and a recurrent encoder of words in context."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class TemporalTransformer(nn.Module):
    """A linear map to the model width, then a post-norm transformer encoder over time.

    The steps carry no position, as in the released code: the layers see a clip as a set of segments. Every
    step then knows what happens anywhere in its clip. With a `window` a step attends to its neighbours alone,
    so that with L layers its output depends on the steps at most `L * window` away.

    Args:
        in_dim: Channels of the input.
        dim: Width of the transformer and of its output.
        heads: Attention heads; must divide `dim`.
        layers: Encoder layers.
        feedforward: Hidden width of the position-wise network.
        dropout: Dropout probability, active in training only.
        window: How many steps before and after itself each step attends to; None attends to the whole clip.
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
        window: int | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.project = nn.Linear(in_dim, dim)
        layer = nn.TransformerEncoderLayer(dim, heads, feedforward, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(
        self, x: Float[Tensor, "batch time channels"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time dim"]:
        """Mix the steps of each clip; steps where `mask` is False are never attended to."""
        if self.window is not None:
            return self._mix_neighbours(self.project(x), mask, self.window)
        padding = None
        if mask is not None:
            padding = ~mask
            padding[:, 0] &= mask.any(dim=1)  # without a valid step a clip attends to its first
        mixed: Tensor = self.encoder(self.project(x), src_key_padding_mask=padding)
        return mixed

    def _mix_neighbours(
        self, x: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"] | None, window: int
    ) -> Float[Tensor, "batch time dim"]:
        """Mix each step with the valid ones that are at most `window` away, and with itself."""
        steps = torch.arange(x.shape[1], device=x.device)
        distance = (steps.unsqueeze(0) - steps.unsqueeze(1)).abs()
        seen = distance <= window
        if mask is not None:  # one matrix a clip and head
            seen = (seen & mask.unsqueeze(1)) | (distance == 0)
            seen = seen.repeat_interleave(self.heads, 0)
        mixed: Tensor = self.encoder(x, mask=~seen)
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
