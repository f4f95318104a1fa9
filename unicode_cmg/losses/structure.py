"""STRUCTURE: a representation keeps the neighbourhoods that its input has."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import at_least, positive
from unicode_cmg.losses._masked import at_least_float32, cleared, masked_mean
from unicode_cmg.ranks import gather, real


def structure_loss(
    features: Float[Tensor, "items _"],
    representation: Float[Tensor, "items _"],
    *,
    levels: int = 3,
    temperature: float = 0.1,
    mask: Bool[Tensor, " items"] | None = None,
) -> Float[Tensor, ""]:
    """How far the neighbourhoods of a representation are from those of its input, over several hops.

    `R_S = 1/L sum_{l=1..L} 1/l mean_i JS(P^l[i], Q^l[i])`, the regularizer of "With Limited Data for
    Multimodal Alignment, Let the STRUCTURE Guide You" (Gröger, Wen, Le, Brbić, NeurIPS 2025). P and Q are the
    `neighbourhoods` of the input and of the representation among the items of a batch. Row i of the matrix
    power P^l says where a walk of l hops from item i ends, so that higher levels compare wider surroundings.

    The released code puts the mean of both distributions in the other place, `KL(mean || P)`, which is no
    Jensen-Shannon divergence and has no upper bound; here it is `KL(P || mean)`, as the paper says. It also
    has a margin below which nothing is learned (0 by default). Levels and temperature are the defaults of its
    function; its training loss sets one level, temperature 0.07 and a weight of 10, reached in 500 steps.
    Computed in float32 or better under autocast.

    Args:
        features: `[N, C]` input, one row an item: a clip, or a step of a clip, all first steps before all
            second ones and so on. Gradients flow into it too.
        representation: `[N, D]` what was made of the items; any width.
        levels: L, the longest walk in hops.
        temperature: Divides the similarities; the lower, the fewer neighbours count.
        mask: True where an item is real; the others are neither compared nor neighbours.

    Returns:
        The divergence in nats, from 0 to `log 2 * (1 + 1/2 + … + 1/L) / L`; 0 with fewer than two items.

    Raises:
        InputError: There is no level, or the temperature is not positive.
    """
    at_least("structure_loss", 1, levels=levels)
    mask = real(mask, features[:, 0])
    features, representation = gather(cleared(features, mask)), gather(cleared(representation, mask))
    mask = None if mask is None else gather(mask)
    with torch.autocast(features.device.type, enabled=False):
        near, kept = (neighbourhoods(x, temperature, mask=mask) for x in (features, representation))
        reached, kept_reached = near, kept
        total = masked_mean(jensen_shannon(near, kept), mask)
        for level in range(2, levels + 1):
            reached, kept_reached = reached @ near, kept_reached @ kept
            total = total + masked_mean(jensen_shannon(reached, kept_reached), mask) / level
        return total / levels


def neighbourhoods(
    vectors: Float[Tensor, "items _"],
    temperature: float = 0.1,
    *,
    mask: Bool[Tensor, " items"] | None = None,
) -> Float[Tensor, "items items"]:
    """How near the items are to each item, as a distribution: `softmax(X X^T / temperature)` by rows.

    X are the vectors at unit length, less their mean over the batch (in this order, as in the STRUCTURE
    paper). An item is its own neighbour too. Turning all vectors alike, or scaling any of them, changes
    nothing.

    Args:
        vectors: `[N, D]`, one row an item.
        temperature: Divides the similarities.
        mask: True where an item is real; the rows of the others mean nothing, their columns are 0.

    Raises:
        InputError: The temperature is not positive.
    """
    positive("neighbourhoods", temperature=temperature)
    x = at_least_float32(vectors)
    if mask is None:
        x = functional.normalize(x, dim=-1)
        x = x - x.mean(0)
        return (x @ x.t() / temperature).softmax(-1)
    x = functional.normalize(cleared(x, mask), dim=-1)
    x = x - x.sum(0) / mask.sum().clamp(min=1)
    scores = x @ x.t() / temperature
    return scores.masked_fill(~mask, -torch.finfo(scores.dtype).max).softmax(-1)


def jensen_shannon(
    p: Float[Tensor, "*rows outcomes"], q: Float[Tensor, "*rows outcomes"]
) -> Float[Tensor, "*rows"]:
    """`(KL(p || m) + KL(q || m)) / 2` with `m = (p + q) / 2`, in nats: 0 for equal rows, at most log 2.

    Args:
        p: Distributions over the last axis; outcomes of probability 0 are fine, and so are their gradients.
        q: As many others.
    """
    tiny = torch.finfo(p.dtype).tiny
    log_p, log_q, log_m = (x.clamp(min=tiny).log() for x in (p, q, (p + q) / 2))
    return (p * (log_p - log_m) + q * (log_q - log_m)).sum(-1) / 2
