"""Cross-modal code matching: the modalities of one clip should choose like codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import InputError
from unicode_cmg.losses._numeric import at_least_float32, masked_mean
from unicode_cmg.losses.info_nce import contrast


def cmcm_loss(
    squared_distances: Mapping[str, Float[Tensor, "batch _ codes"]],
    masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
    form: Literal["corrected", "published"] = "corrected",
) -> Float[Tensor, ""]:
    """Cross-modal code matching (Liu et al. 2021; `L_cmcm` of the TOC paper).

    A clip's code posterior in modality m is `P_m = mean_t softmax_h(-||z_t - e_h||)`, and two clips are as
    alike as their symmetric cross-entropy is low: `S_ij = P_a[i] . log P_b[j] + P_b[j] . log P_a[i]`. The
    loss is the contrast of each clip with the other clips of the batch, half of it per pair of modalities,
    summed over pairs.

    `corrected` stays in log space throughout (log-softmax over codes, log-sum-exp over time, log-softmax over
    the batch) and averages both directions, clips of a against clips of b and the reverse. `published`
    computes what the released code does: `log(P + 1e-10)`; `S_ij = P_a[i] . log P_b[j] + P_b[i] . log
    P_a[j]`, whose second term compares other clips than the first; `exp(S - min S)`, which overflows float32
    once similarities spread by more than 88; 1e-5 added to the row sum; rows only.

    Args:
        squared_distances: `[B, T, H]` squared distances to the codewords by modality, as `quantize` returns
            them.
        masks: `[B, T]` by modality, True where a step is real. A clip without any is left out of the
            contrast.
        form: `corrected` or `published`.

    Raises:
        InputError: There are fewer than two modalities, or the form is unknown.
    """
    if form not in ("corrected", "published"):
        raise InputError(f"form is '{form}'", where="cmcm_loss", expected="'corrected' or 'published'")
    if len(squared_distances) < 2:
        raise InputError("fewer than two modalities", where="cmcm_loss", expected="something to match")
    posteriors, valid = {}, {}
    device = next(iter(squared_distances.values())).device.type
    with torch.autocast(device, enabled=False):
        for m, squared in squared_distances.items():
            mask = None if masks is None else masks.get(m)
            posteriors[m] = _log_posterior(at_least_float32(squared), mask)
            valid[m] = None if mask is None else mask.any(-1)
        pair = _corrected_pair if form == "corrected" else _published_pair
        losses = [
            pair(posteriors[a], posteriors[b], _both(valid[a], valid[b]))
            for a, b in combinations(posteriors, 2)
        ]
        return 0.5 * torch.stack(losses).sum()


def _log_posterior(
    squared: Float[Tensor, "batch time codes"], mask: Bool[Tensor, "batch time"] | None
) -> Float[Tensor, "batch codes"]:
    """Log of the time-averaged `softmax(-distance)`; zeros for a clip without a valid step."""
    # The clamp stops the infinite slope of the root at zero; a feature on its codeword gets no pull from it.
    distance = squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()
    per_step = functional.log_softmax(-distance, -1)
    if mask is None:
        return per_step.logsumexp(1) - math.log(squared.shape[1])
    steps = mask.sum(1, keepdim=True)
    lowest = -torch.finfo(squared.dtype).max / 4
    total = per_step.masked_fill(~mask.unsqueeze(-1), lowest).logsumexp(1)
    return torch.where(steps > 0, total - steps.clamp(min=1).to(total.dtype).log(), 0)


def _corrected_pair(
    log_a: Float[Tensor, "batch codes"],
    log_b: Float[Tensor, "batch codes"],
    valid: Bool[Tensor, " batch"] | None,
) -> Float[Tensor, ""]:
    similarity = log_a.exp() @ log_b.t() + log_a @ log_b.exp().t()
    return (contrast(similarity, valid, dim=1) + contrast(similarity, valid, dim=0)) / 2


def _published_pair(
    log_a: Float[Tensor, "batch codes"],
    log_b: Float[Tensor, "batch codes"],
    valid: Bool[Tensor, " batch"] | None,
) -> Float[Tensor, ""]:
    a, b = log_a.exp(), log_b.exp()
    similarity = a @ (b + 1e-10).log().t() + b @ (a + 1e-10).log().t()
    if valid is None:
        shifted = (similarity - similarity.min()).exp()
    else:
        pairs = valid.unsqueeze(0) & valid.unsqueeze(1)
        shifted = similarity - similarity.masked_fill(~pairs, torch.inf).min()
        shifted = shifted.masked_fill(~pairs, -torch.inf).exp()
        shifted = shifted + torch.diag(~valid)  # keeps the log of a row without a clip finite
    return masked_mean(-(shifted.diagonal() / (shifted.sum(1) + 1e-5)).log(), valid)


def _both(
    first: Bool[Tensor, " batch"] | None, second: Bool[Tensor, " batch"] | None
) -> Bool[Tensor, " batch"] | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second
