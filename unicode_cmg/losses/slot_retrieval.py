"""A clip's tokens in one modality should find its tokens in the others, by transport distance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import InputError
from unicode_cmg.losses._numeric import at_least_float32, masked_mean
from unicode_cmg.losses.transport import (
    entropic_distances,
    exact_distances,
    random_directions,
    sliced_distances,
)


def slot_retrieval_loss(
    tokens: Mapping[str, Float[Tensor, "batch _ dim"]],
    masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
    *,
    distance: Literal["sliced", "exact", "entropic"] = "sliced",
    queries: Literal["first", "all"] = "first",
    temperature: float = 1.0,
    directions: int = 64,
    entropy: float = 0.1,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Retrieval loss with a transport distance (SGA paper eq. 4).

    For clip b and the query modality q, with `s_m(b, i) = -W(H_b^q, H_i^m) / temperature`:

        L_b = log sum_{i != b} sum_{m != q} exp s_m(b, i) - log sum_{m != q} exp s_m(b, b)

    and the loss is the mean over clips. As printed, the clip itself is not in the first sum. Tokens are taken
    at unit length, so W, a squared distance, is at most 4 (`sliced` on average over its directions): the loss
    has bounds on both sides, and longer features do not lower it. For clips of one token each, `-W` is
    `2 cos - 2`.

    A clip without tokens in the query modality asks nothing, one without tokens in another is no candidate
    there, and a clip left without a positive or without negatives has no term; without any term the loss is
    0. Computed in float32 or better under autocast.

    Args:
        tokens: Modality -> `[B, N_m, D]`, its share of the joint representation, `H^(m)`.
        masks: Modality -> `[B, N_m]`, True where a token is valid; those that are missing have all valid.
        distance: `sliced`, `exact` or `entropic`; see `sliced_distances`, `exact_distances` and
            `entropic_distances`. The paper says "transport distance" and cites a survey.
        queries: `first` asks with the first modality only, as printed; `all` with each in turn.
        temperature: Divides the distances; 1 in the paper.
        directions: Random directions of `sliced`, drawn anew at each call and the same for all pairs.
        entropy: Weight of the entropy of `entropic`.
        generator: CPU generator of the directions.

    Raises:
        InputError: There are fewer than two modalities, their tokens differ in width, a setting is out of
            range, or POT is not installed and the distance needs it.
    """
    _check(tokens, queries, temperature)
    device = next(iter(tokens.values())).device
    with torch.autocast(device.type, enabled=False):
        unit, masks = _unit(tokens, masks or {})
        measure = _measure(distance, next(iter(unit.values())).shape[2], directions, entropy, generator)
        names = list(unit)
        asking = names if queries == "all" else names[:1]
        scores = {}
        for a, b in combinations(names, 2):
            if a in asking:
                scores[a, b] = -measure(unit[a], masks[a], unit[b], masks[b]) / temperature
                scores[b, a] = scores[a, b].mT
        present = {m: mask.any(1) for m, mask in masks.items()}
        losses, defined = [], []
        for q in asking:
            others = [m for m in names if m != q]
            loss, some = _retrieval(
                torch.stack([scores[q, m] for m in others]), torch.stack([present[m] for m in others])
            )
            losses.append(loss)
            defined.append(some & present[q])
        return masked_mean(torch.stack(losses), torch.stack(defined))


def _retrieval(
    scores: Float[Tensor, "others batch batch"], present: Bool[Tensor, "others batch"]
) -> tuple[Float[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """The loss of each query, and which of them have both a positive and a negative."""
    lowest = -torch.finfo(scores.dtype).max
    scores = scores.masked_fill(~present.unsqueeze(1), lowest)
    own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    positive = scores.diagonal(dim1=1, dim2=2).logsumexp(0)
    negative = scores.masked_fill(own, lowest).logsumexp((0, 2))
    return negative - positive, present.any(0) & (present.sum() > present.sum(0))


def _unit(
    tokens: Mapping[str, Float[Tensor, "batch _ dim"]], masks: Mapping[str, Bool[Tensor, "batch _"]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tokens at unit length, zeros at padding, and a mask for each modality."""
    full = {
        m: masks[m] if m in masks else torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for m, x in tokens.items()
    }
    unit = {
        m: functional.normalize(at_least_float32(x).masked_fill(~full[m].unsqueeze(2), 0), dim=-1)
        for m, x in tokens.items()
    }
    return unit, full


def _measure(
    distance: str, width: int, directions: int, entropy: float, generator: torch.Generator
) -> Callable[..., Tensor]:
    if distance == "sliced":
        drawn = random_directions(directions, width, generator=generator)
        return partial(sliced_distances, directions=drawn)
    if distance == "exact":
        return exact_distances
    if distance == "entropic":
        return partial(entropic_distances, entropy=entropy)
    raise InputError(
        f"distance is '{distance}'",
        where="slot_retrieval_loss",
        expected="'sliced', 'exact' or 'entropic'",
    )


def _check(tokens: Mapping[str, Tensor], queries: str, temperature: float) -> None:
    where = "slot_retrieval_loss"
    if len(tokens) < 2:
        raise InputError(f"{len(tokens)} modalities", where=where, expected="two or more")
    widths = {m: x.shape[2] for m, x in tokens.items()}
    if len(set(widths.values())) > 1:
        raise InputError(f"widths of tokens are {widths}", where=where, expected="one width for all")
    if queries not in ("first", "all"):
        raise InputError(f"queries is '{queries}'", where=where, expected="'first' or 'all'")
    if temperature <= 0:
        raise InputError(f"temperature is {temperature}", where=where, expected="a positive number")
