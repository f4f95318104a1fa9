"""Cross-modal code matching: the modalities of one clip should choose like codes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from unicode_cmg.errors import at_least, one_of
from unicode_cmg.losses._masked import at_least_float32, cleared, contrast, in_both, masked_mean
from unicode_cmg.ranks import gather, real


def cmcm_loss(
    squared_distances: Mapping[str, Float[Tensor, "batch _ codes"]],
    masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
    form: Literal["corrected", "released"] = "corrected",
) -> Float[Tensor, ""]:
    """Cross-modal code matching (Liu et al. 2021; `L_cmcm` of TOC paper eqs. 14 and A8).

    A clip's code posterior in modality m is `P_m = mean_t softmax_h(-||z_t - e_h||)`, and two clips are as
    alike as their symmetric cross-entropy is low: `S_ij = P_a[i] . log P_b[j] + P_b[j] . log P_a[i]`. The
    loss is the contrast of each clip with the other clips of the batch, half of it per pair of modalities,
    summed over pairs.

    `corrected` stays in log space throughout (log-softmax over codes, log-sum-exp over time, log-softmax over
    the batch) and averages both directions, clips of a against clips of b and the reverse. `released`
    computes what the released code does: `log(P + 1e-10)`; `S_ij = P_a[i] . log P_b[j] + P_b[i] . log
    P_a[j]`, whose second term compares other clips than the first; `exp(S - min S)`, which overflows float32
    once similarities spread by more than 88; 1e-5 added to the row sum; rows only.

    It needs the distances of all steps to all codewords and their gradient, `M B T H` numbers and some copies
    of them, and compares all pairs of clips in `M^2 B^2 H` operations. Quantization without CMCM keeps
    nothing but codes and indices, so its memory does not grow with H.

    Args:
        squared_distances: `[B, T, H]` squared distances to the codewords by modality, as `quantize` returns
            them.
        masks: `[B, T]` by modality, True where a step is real. A clip without any is left out of the
            contrast.
        form: `corrected` or `released`.

    Raises:
        InputError: There are fewer than two modalities, or the form is unknown.

    >>> alike = torch.tensor([[[0.0, 9.0]], [[9.0, 0.0]]])  # two clips of a step, two codes
    >>> bool(cmcm_loss({"audio": alike, "video": alike}) < 0.01)  # both modalities choose the same codes
    True
    """
    one_of("cmcm_loss", ("corrected", "released"), form=form)
    at_least("cmcm_loss", 2, modalities=len(squared_distances))
    posteriors, valid = {}, {}
    device = next(iter(squared_distances.values())).device.type
    with torch.autocast(device, enabled=False):
        for m, squared in squared_distances.items():
            mask = None if masks is None else masks.get(m)
            valid[m] = real(None if mask is None else mask.any(-1), squared[:, 0, 0])
            known = at_least_float32(cleared(squared, mask))
            posterior = _LogPosterior.apply(known, mask)  # type: ignore[no-untyped-call]
            posteriors[m] = (
                posterior if mask is None else torch.where(mask.any(-1, keepdim=True), posterior, 0)
            )
        posteriors = {m: gather(x) for m, x in posteriors.items()}
        valid = {m: None if there is None else gather(there) for m, there in valid.items()}
        pair = _corrected_pair if form == "corrected" else _released_pair
        losses = [
            pair(posteriors[a], posteriors[b], in_both(valid[a], valid[b]))
            for a, b in combinations(posteriors, 2)
        ]
        return 0.5 * torch.stack(losses).sum()


def _corrected_pair(
    log_a: Float[Tensor, "batch codes"],
    log_b: Float[Tensor, "batch codes"],
    valid: Bool[Tensor, " batch"] | None,
) -> Float[Tensor, ""]:
    similarity = log_a.exp() @ log_b.t() + log_a @ log_b.exp().t()
    rows, columns = (contrast(similarity, valid, dim) for dim in (-1, -2))
    return (rows + columns) / 2


class _LogPosterior(torch.autograd.Function):
    """`log mean_t softmax_h(-sqrt(squared))` over the valid steps; meaningless for a clip without any.

    Written out because the chain of primitive operations takes twice the time, most of it in exponentials,
    and because the root has an infinite slope at zero: here a codeword does not pull a feature that sits on
    it.
    """

    @staticmethod
    def forward(ctx: Any, squared: Tensor, mask: Tensor | None) -> Tensor:
        distance = squared.sqrt()
        log_step = functional.log_softmax(-distance, -1)
        if mask is None:
            steps: int | Tensor = squared.shape[1]
        else:
            log_step.masked_fill_(~mask.unsqueeze(-1), -torch.finfo(squared.dtype).max)
            steps = mask.sum(1, keepdim=True).clamp(min=1)
        # Each step's posterior is `share * peak.exp()`; the log of their sum is `peak + total.log()`.
        peak = log_step.amax(1)
        share = log_step.sub_(peak.unsqueeze(1)).exp_()
        total = share.sum(1)
        result = peak + (total / steps).log()
        ctx.save_for_backward(functional.threshold(distance, 0, torch.inf), share, total, peak)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        distance, share, total, peak = ctx.saved_tensors
        # Through the log of the mean, then the log-softmax, then d distance / d squared = 1 / (2 distance).
        pull = (-0.5 * gradient / total).unsqueeze(1)
        balance = share @ pull.mT
        result = torch.addcmul(pull, balance, peak.exp().unsqueeze(1), value=-1)
        return result.mul_(share).div_(distance), None


def _released_pair(
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
