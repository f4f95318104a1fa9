"""A clip's tokens in one modality should find its tokens in the others, by transport distance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import InputError, at_least, one_of, positive
from unicode_cmg.losses._masked import at_least_float32, mean_of_clips
from unicode_cmg.losses.transport import (
    entropic_distances,
    exact_distances,
    random_directions,
    sliced_distances,
)
from unicode_cmg.ranks import gather, own_rows, real, share


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
    where = "slot_retrieval_loss"
    at_least(where, 2, modalities=len(tokens))
    widths = {m: x.shape[2] for m, x in tokens.items()}
    if len(set(widths.values())) > 1:
        raise InputError(f"widths of tokens are {widths}", where=where, expected="one width for all")
    one_of(where, ("sliced", "exact", "entropic"), distance=distance)
    one_of(where, ("first", "all"), queries=queries)
    positive(where, temperature=temperature)
    measure: Callable[..., Tensor] = exact_distances
    if distance == "sliced":
        drawn = random_directions(directions, next(iter(widths.values())), generator=generator)
        measure = partial(sliced_distances, directions=drawn)
    elif distance == "entropic":
        measure = partial(entropic_distances, entropy=entropy)

    with torch.autocast(next(iter(tokens.values())).device.type, enabled=False):
        masks = {m: masks[m] if masks and m in masks else _everywhere(x[..., 0]) for m, x in tokens.items()}
        unit = {
            m: functional.normalize(at_least_float32(x).masked_fill(~masks[m].unsqueeze(2), 0), dim=-1)
            for m, x in tokens.items()
        }
        names = list(unit)
        asking = names if queries == "all" else names[:1]
        # the clips of this rank ask, those of all ranks answer
        whole, there = {m: gather(x) for m, x in unit.items()}, {m: gather(x) for m, x in masks.items()}
        scores: dict[tuple[str, str], Tensor] = {}
        for q in asking:
            for m in (m for m in names if m != q):
                known = scores.get((m, q)) if share() is None else None
                if known is None:
                    scores[q, m] = -measure(unit[q], masks[q], whole[m], there[m]) / temperature
                else:
                    scores[q, m] = known.mT
        present = {m: mask.any(1) for m, mask in there.items()}
        own = own_rows(torch.arange(len(present[names[0]]), device=present[names[0]].device))
        losses, defined = [], []
        for q in asking:
            others = [m for m in names if m != q]
            loss, some = _retrieval(
                torch.stack([scores[q, m] for m in others]), torch.stack([present[m] for m in others]), own
            )
            losses.append(loss)
            defined.append(some & masks[q].any(1))
        return mean_of_clips(torch.stack(losses, 1), torch.stack(defined, 1))


def _everywhere(like: Float[Tensor, "rows tokens"]) -> Bool[Tensor, "rows tokens"]:
    mask = real(None, like)
    return torch.ones_like(like, dtype=torch.bool) if mask is None else mask


def _retrieval(
    scores: Float[Tensor, "others queries batch"],
    present: Bool[Tensor, "others batch"],
    own: Int64[Tensor, " queries"],
) -> tuple[Float[Tensor, " queries"], Bool[Tensor, " queries"]]:
    """The loss of each query, and which of them have both a positive and a negative.

    Args:
        scores: Of each query and the clips in the other modalities.
        present: Which clips have these.
        own: The clip that each query is about.
    """
    lowest = -torch.finfo(scores.dtype).max
    scores = scores.masked_fill(~present.unsqueeze(1), lowest)
    itself = own.unsqueeze(1) == torch.arange(scores.shape[2], device=scores.device)
    positive = scores[:, itself].logsumexp(0)
    negative = scores.masked_fill(itself, lowest).logsumexp((0, 2))
    clips = present.sum(0)[own]
    return negative - positive, (clips > 0) & (present.sum() > clips)
