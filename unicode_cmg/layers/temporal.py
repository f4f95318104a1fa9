"""Self-attention over the steps of a clip."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


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
        padding = None if mask is None else _padding(mask)
        mixed: Tensor = self.encoder(self.project(x), src_key_padding_mask=padding)
        return mixed


def _padding(mask: Bool[Tensor, "batch time"]) -> Bool[Tensor, "batch time"]:
    """True where a step is ignored; a clip without a valid step attends to its first, so no row is empty."""
    padding = ~mask
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    return padding & ~(padding.all(dim=1, keepdim=True) & first)
