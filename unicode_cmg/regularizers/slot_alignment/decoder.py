"""What holds slots to the tokens they stand for: the tokens are rebuilt from the slots that are kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5
"""Added to the attention that the kept slots of a token have together (AdaSlot's constant)."""


class SlotDecoder(nn.Module):
    """From a slot to the token it stands for: layer norm and two linear layers with a ReLU between.

    Args:
        dim: Width D of the slots.
        token_dim: Width C of the tokens.
    """

    def __init__(self, dim: int, token_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.hidden = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, token_dim)

    def forward(self, slots: Float[Tensor, "batch slots dim"]) -> Float[Tensor, "batch slots channels"]:
        """One token for each slot."""
        rebuilt: Tensor = self.out(F.relu(self.hidden(self.norm(slots))))
        return rebuilt


def kept_shares(
    attention: Float[Tensor, "batch tokens slots"], keep: Float[Tensor, "batch slots"]
) -> Float[Tensor, "batch tokens slots"]:
    """The attention of each token shared out among the kept slots alone (AdaSlot's normalised mask).

    Args:
        attention: Sums to 1 over the slots, or is 0 throughout at padding.
        keep: 1 for a slot that is kept, 0 for one that is dropped.
    """
    kept = attention * keep.unsqueeze(1)
    return kept / (kept.sum(2, keepdim=True) + EPS)


def mixture_errors(
    tokens: Float[Tensor, "batch tokens channels"],
    mask: Bool[Tensor, "batch tokens"],
    shares: Sequence[Float[Tensor, "batch tokens slots"]],
    parts: Float[Tensor, "batch slots channels"],
) -> Float[Tensor, " shares"]:
    """Mean squared errors of mixtures `shares @ parts` of the tokens, over every element of the valid ones.

    The square is multiplied out, `|t|² - 2 t·Sp + |Sp|²`, and summed over tokens before the parts come in.
    There are far fewer slots than tokens; the mixtures, each as large as the tokens, are never made.

    Args:
        tokens: What the mixtures should be; 0 at padding.
        mask: True where a token is real.
        shares: For each mixture, the share of each slot in each token; 0 at padding.
        parts: What each slot gives.
    """
    energy = tokens.square().sum()
    gram = parts @ parts.mT
    crosses = torch.cat(list(shares), dim=2).mT @ tokens
    totals = [
        energy - 2 * (cross * parts).sum() + ((share.mT @ share) * gram).sum()
        for share, cross in zip(shares, torch.split(crosses, parts.shape[1], dim=1), strict=True)
    ]
    return torch.stack(totals) / (mask.sum() * tokens.shape[2]).clamp(min=1)
