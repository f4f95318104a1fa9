"""The squared errors of a VQ-VAE: reconstruction of the features and commitment to the codewords."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses._masked import at_least_float32, cleared, in_both
from unicode_cmg.ranks import mean_of_batch, real


def reconstruction_loss(
    prediction: Float[Tensor, "batch time *feature"],
    target: Float[Tensor, "batch time *feature"],
    mask: Bool[Tensor, "batch time"] | None = None,
) -> Float[Tensor, ""]:
    """`||x - D(zhat; zbar)||^2`, the mean over every element of the valid steps.

    First term of TOC paper eq. A4 and of FCID paper eq. 18, which print a sum.

    Padding has no effect, even if it holds NaN. Computed in float32 or better.

    Args:
        prediction: What the decoder made.
        target: The input features. Gradients flow into it too: detach what must not chase its reconstruction.
        mask: True where a step is real.
    """
    return mean_of_batch(*_squared_errors(prediction, target, mask))


def _squared_errors(
    prediction: Float[Tensor, "batch time *feature"],
    target: Float[Tensor, "batch time *feature"],
    mask: Bool[Tensor, "batch time"] | None,
) -> tuple[Float[Tensor, ""], Int64[Tensor, ""]]:
    """Their sum over the valid steps of this rank's clips, and the number of elements there."""
    error = at_least_float32(prediction) - at_least_float32(target)
    mask = real(mask, error.reshape(*error.shape[:2], -1)[..., 0])
    if mask is None:
        return error.square().sum(), torch.tensor(error.numel(), device=error.device)
    return cleared(error, mask).square().sum(), mask.sum() * error[0, 0].numel()


def commitment_loss(
    features: Mapping[str, Float[Tensor, "batch _ dim"]],
    codewords: Mapping[str, Float[Tensor, "batch _ dim"]],
    *,
    own_weight: float = 0.25,
    cross_weight: float = 0.125,
    each: bool = False,
    masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """`own MSE(z^m, sg[e^m]) + cross mean_{n != m} MSE(z^m, sg[e^n])` by modality m.

    Last term of TOC paper eq. A4 and of FCID paper eq. 18, with the codewords of the other modalities as in
    DCID paper eq. 8.

    A cross term is the mean over the steps that both modalities have, and 0 where they have none together.

    The defaults are the paper's for two modalities with beta = 0.25: beta and beta / 2. The released code has
    0.5 and 0.25, the latter shared equally by the other modalities too.

    Args:
        features: `[B, T, D]` by modality, before quantization.
        codewords: `[B, T, D]` by modality, what each step was quantized to; no gradient flows into them.
        own_weight: Weight of the modality's own codewords.
        cross_weight: Weight of the other modalities' codewords at the same step, all of them together.
        each: Whether each other modality has this weight; the mean above is then a sum.
        masks: `[B, T]` by modality, True where a step is real.

    Raises:
        InputError: Modalities that pull on each other are not aligned.

    >>> import torch
    >>> features = {"audio": torch.ones(2, 10, 4), "video": torch.zeros(2, 10, 4)}
    >>> commitment_loss(features, codewords=features)
    {'audio': tensor(0.1250), 'video': tensor(0.1250)}
    """
    masks, weights, errors, counts = masks or {}, [], [], []
    for row, (m, z) in enumerate(features.items()):
        pulled = [(own_weight, m)]
        others = [n for n in features if n != m] if cross_weight else []
        weight = cross_weight if each else cross_weight / max(1, len(others))
        for n in others:
            if codewords[n].shape != z.shape:
                raise InputError(
                    f"'{m}' is {list(z.shape)} and '{n}' is {list(codewords[n].shape)}",
                    where="commitment_loss",
                    expected="aligned modalities",
                    fix="align them, or set cross_weight to 0",
                )
            pulled.append((weight, n))
        for weight, n in pulled:
            both = masks.get(m) if m == n else in_both(masks.get(m), masks.get(n))
            error, count = _squared_errors(z, codewords[n].detach(), both)
            weights.append((row, weight))
            errors.append(error)
            counts.append(count)
    means = mean_of_batch(torch.stack(errors), torch.stack(counts))
    losses = [means.new_zeros(()) for _ in features]
    for (row, weight), mean in zip(weights, means, strict=True):
        losses[row] = losses[row] + weight * mean
    return dict(zip(features, losses, strict=True))
