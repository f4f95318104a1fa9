"""Networks over the steps of a clip: a transformer encoder and a recurrent encoder of words in context."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.batch import cleared
from unicode_cmg.draws import ClipDraws


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
        self.heads, self.dropout, self.window = heads, dropout, window
        self.project = nn.Linear(in_dim, dim)
        layer = nn.TransformerEncoderLayer(dim, heads, feedforward, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(
        self,
        x: Float[Tensor, "batch time channels"],
        mask: Bool[Tensor, "batch time"] | None = None,
        draws: ClipDraws | None = None,
    ) -> Float[Tensor, "batch time dim"]:
        """Mix the steps of each clip; steps where `mask` is False are never attended to.

        Args:
            x: The features.
            mask: True where a step is real.
            draws: What dropout draws from; from torch's global generator if left out.
        """
        x, blocked = self.project(x), self._blocked(x, mask)
        if self.training and self.dropout:
            draws = ClipDraws.of(len(x), device=x.device) if draws is None else draws
            for number, layer in enumerate(self.encoder.layers):
                layer = cast(nn.TransformerEncoderLayer, layer)
                x = with_dropout(layer, x, blocked, draws.at(number), self.dropout)
            return x
        mixed: Tensor
        if blocked is None or self.window is None:
            mixed = self.encoder(x, src_key_padding_mask=None if blocked is None else blocked[:, 0])
        else:  # one matrix a clip and head
            matrices = blocked if len(blocked) == 1 else blocked.repeat_interleave(self.heads, 0)
            mixed = self.encoder(x, mask=matrices[0] if len(blocked) == 1 else matrices)
        return mixed

    def _blocked(
        self, x: Float[Tensor, "batch time channels"], mask: Bool[Tensor, "batch time"] | None
    ) -> Bool[Tensor, "clips queries time"] | None:
        """Which steps each step may not attend to; a single row or clip stands for all of them."""
        if self.window is None:
            if mask is None:
                return None
            padding = ~mask
            padding[:, 0] &= mask.any(dim=1)  # without a valid step a clip attends to its first
            return padding.unsqueeze(1)
        steps = torch.arange(x.shape[1], device=x.device)
        distance = (steps.unsqueeze(0) - steps.unsqueeze(1)).abs()
        seen = (distance <= self.window).unsqueeze(0)
        if mask is not None:
            seen = (seen & mask.unsqueeze(1)) | (distance == 0)
        return ~seen


def with_dropout(
    layer: nn.TransformerEncoderLayer,
    x: Float[Tensor, "batch time dim"],
    blocked: Bool[Tensor, "clips queries time"] | None,
    draws: ClipDraws,
    p: float,
) -> Float[Tensor, "batch time dim"]:
    """What a post-norm layer of torch computes in training, with dropout in the same four places.

    Args:
        layer: The layer.
        x: Its input.
        blocked: True where a step may not attend to another; a single row or clip stands for all of them.
        draws: Of the layer.
        p: Dropout probability.
    """
    attention = layer.self_attn
    heads, width = attention.num_heads, attention.head_dim
    packed = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    queries, keys, values = packed.view(*x.shape[:2], 3, heads, width).permute(2, 0, 3, 1, 4)
    scores = queries @ keys.mT * width**-0.5
    if blocked is not None:
        scores = scores.masked_fill(blocked.unsqueeze(1), -torch.inf)
    weights = draws.at(0).dropout(scores.softmax(-1), p)
    seen = attention.out_proj((weights @ values).transpose(1, 2).flatten(2))
    x = layer.norm1(x + draws.at(1).dropout(seen, p))
    hidden = draws.at(2).dropout(F.relu(layer.linear1(x)), p)
    mixed: Tensor = layer.norm2(x + draws.at(3).dropout(layer.linear2(hidden), p))
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
        """Contextual features; steps after the last valid one are not read and come out as zeros.

        The backward direction reads each clip from its last valid step on. To it the clip is turned round, by
        indices on the device: nothing is packed, and no length is read by the host.
        """
        features: Tensor
        if mask is None:
            features, _ = self.lstm(x)
            return features
        steps = torch.arange(mask.shape[1], device=mask.device)
        last = (mask * steps).amax(dim=1, keepdim=True)
        backwards = torch.where(steps <= last, last - steps, steps)
        features = cleared(x, steps <= last)
        for layer in range(self.lstm.num_layers):
            ahead = self._read(features, f"l{layer}")
            back = _ordered(self._read(_ordered(features, backwards), f"l{layer}_reverse"), backwards)
            features = torch.cat([ahead, back], dim=-1)
        return cleared(features, steps <= last)

    def _read(self, x: Float[Tensor, "batch time channels"], name: str) -> Float[Tensor, "batch time dim"]:
        """One layer in one direction."""
        weights = [
            getattr(self.lstm, f"{kind}_{name}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        start = x.new_zeros(1, len(x), self.lstm.hidden_size)
        return torch.lstm(x, (start, start), weights, True, 1, 0.0, self.training, False, True)[0]


def _ordered(
    x: Float[Tensor, "batch time channels"], order: Int64[Tensor, "batch time"]
) -> Float[Tensor, "batch time channels"]:
    """The steps of each clip in this order."""
    return x.gather(1, order.unsqueeze(-1).expand_as(x))
