"""Commitment: features stay close to their own codewords and to those of the other modalities."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses._numeric import mean_squared_error


def commitment_loss(
    features: Mapping[str, Float[Tensor, "batch _ dim"]],
    codewords: Mapping[str, Float[Tensor, "batch _ dim"]],
    *,
    own_weight: float = 0.25,
    cross_weight: float = 0.125,
    masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """`own MSE(z^m, sg[e^m]) + cross mean_{n != m} MSE(z^m, sg[e^n])` by modality m (DCID paper eq. 8).

    The defaults are the paper's with beta = 0.25: beta and beta / 2. The released code has 0.5 and 0.25, the
    latter shared equally by the other modalities too.

    Args:
        features: `[B, T, D]` by modality, before quantization.
        codewords: `[B, T, D]` by modality, what each step was quantized to; no gradient flows into them.
        own_weight: Weight of the modality's own codewords.
        cross_weight: Weight of the other modalities' codewords at the same step, all of them together.
        masks: `[B, T]` by modality, True where a step is real. A cross term counts the steps real in both.

    Raises:
        InputError: Modalities that pull on each other are not aligned.
    """

    def mask_of(modality: str) -> Tensor | None:
        return None if masks is None else masks.get(modality)

    losses = {}
    for m, z in features.items():
        loss = own_weight * mean_squared_error(z, codewords[m].detach(), mask_of(m))
        others = [n for n in features if n != m] if cross_weight else []
        for n in others:
            if codewords[n].shape != z.shape:
                raise InputError(
                    f"'{m}' is {list(z.shape)} and '{n}' is {list(codewords[n].shape)}",
                    where="commitment_loss",
                    expected="aligned modalities",
                    fix="align them, or set cross_weight to 0",
                )
            both = _both(mask_of(m), mask_of(n))
            loss = loss + cross_weight / len(others) * mean_squared_error(z, codewords[n].detach(), both)
        losses[m] = loss
    return losses


def _both(
    first: Bool[Tensor, "batch time"] | None, second: Bool[Tensor, "batch time"] | None
) -> Bool[Tensor, "batch time"] | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second
