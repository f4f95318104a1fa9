"""Reconstruction of the input features."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from unicode_cmg.losses._numeric import mean_squared_error


def reconstruction_loss(
    prediction: Float[Tensor, "batch time *feature"],
    target: Float[Tensor, "batch time *feature"],
    mask: Bool[Tensor, "batch time"] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared error over every element of the valid steps (TOC paper eq. 4, first term, as a mean).

    Args:
        prediction: What the decoder made.
        target: The input features. Gradients flow into it too: detach what must not chase its reconstruction.
        mask: True where a step is real.
    """
    return mean_squared_error(prediction, target, mask)
