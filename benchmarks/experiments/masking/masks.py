"""Codebooks with masked dimensions, and the error of images that are reconstructed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from benchmarks.experiments.masking.vqvae import DIM, VQVAE
from toc import VARIANTS, optimize

Fill = Literal["zero", "mean"]

SHARES = (0.875, 0.75, 0.625, 0.5, 0.375, 0.25)
"""Masked shares of the dimensions, as in FCID paper, table 3."""

FILLS: tuple[Fill, ...] = ("zero", "mean")
"""What a masked dimension is replaced by: 0, or its mean over the codebook. The paper says "masked", which we
read as 0."""

RANDOM_MASKS = 100

TOC = "TOC"
ORDERS: dict[str, dict[str, Any]] = {
    TOC: VARIANTS["paper"],
    "similarity only": {**VARIANTS["paper"], "lam": 0.0},
    "variance only": {**VARIANTS["paper"], "lam": 1.0},
    "released": VARIANTS["released"],
}
"""Orders of the dimensions, best first, as options of `toc.optimize`."""

CENTRED = "codebook centred"
"""TOC of the codebook minus its mean codeword, that is, without a common offset."""

WORST = "worst kept"
"""The reverse order of TOC, which has to be worse than chance where TOC is better than chance."""

PCA = "PCA"


@dataclass(frozen=True)
class Masked:
    """Reconstruction errors with some dimensions kept, each a mean over images and pixels of range 0 to 1.

    Attributes:
        kept: How many dimensions are kept.
        fill: What the others are replaced by.
        random: Errors of 100 random choices of as many dimensions.
        chosen: Error of each order, and of PCA.
    """

    kept: int
    fill: Fill
    random: Sequence[float]
    chosen: Mapping[str, float]

    def count(self, order: str = TOC) -> int:
        """How many of the random choices are worse than this order's."""
        return sum(error > self.chosen[order] for error in self.random)


def kept_dims(share: float) -> int:
    """Number of dimensions that are kept when this share is masked."""
    return round((1 - share) * DIM)


def automatic_dims(codebook: Float[Tensor, "codes dim"]) -> int:
    """Number of dimensions that TOC keeps with `n_dims="auto"`."""
    return len(optimize(codebook.numpy(), "auto", **VARIANTS["paper"]).indices)


def measure_masked(
    model: VQVAE,
    images: Float[Tensor, "n 3 height width"],
    indices: Int64[Tensor, "n rows columns"],
    sizes: Sequence[int],
    seed: int,
) -> list[Masked]:
    """Errors for each number of kept dimensions, each fill and each order.

    Args:
        model: A trained model in eval mode.
        images: What it should have reconstructed.
        indices: Their codes, found with all dimensions.
        sizes: Numbers of dimensions to keep.
        seed: Of the random choices, which are the same for every number and fill; see `random_orders`.
    """
    codebook = model.codebook
    orders = dimension_orders(codebook)
    shuffled = random_orders(seed)

    def error(changed: Float[Tensor, "codes dim"]) -> float:
        return reconstruction_error(model, images, indices, changed)

    return [
        Masked(
            kept=size,
            fill=fill,
            random=tuple(error(masked(codebook, order[:size], fill)) for order in shuffled),
            chosen={name: error(masked(codebook, order[:size], fill)) for name, order in orders.items()}
            | {PCA: error(projected(codebook, size, fill))},
        )
        for fill in FILLS
        for size in sizes
    ]


def dimension_orders(codebook: Float[Tensor, "codes dim"]) -> dict[str, Int64[np.ndarray, " dim"]]:
    """All dimensions in each order, those to keep first."""
    orders = {name: _order(codebook, options) for name, options in ORDERS.items()}
    centred = _order(codebook - codebook.mean(dim=0), ORDERS[TOC])
    return orders | {CENTRED: centred, WORST: orders[TOC][::-1].copy()}


def _order(codebook: Float[Tensor, "codes dim"], options: Mapping[str, Any]) -> Int64[np.ndarray, " dim"]:
    return np.array(optimize(codebook.numpy(), DIM, **options).indices)


def random_orders(seed: int) -> list[Int64[np.ndarray, " dim"]]:
    """100 random orders of the dimensions; a mask keeps the first ones."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(DIM) for _ in range(RANDOM_MASKS)]


def masked(
    codebook: Float[Tensor, "codes dim"], kept: Int64[np.ndarray, " kept"], fill: Fill
) -> Float[Tensor, "codes dim"]:
    """The codebook with all but the kept dimensions replaced."""
    changed = _filling(codebook, fill).repeat(len(codebook), 1)
    changed[:, kept] = codebook[:, kept]
    return changed


def projected(codebook: Float[Tensor, "codes dim"], size: int, fill: Fill) -> Float[Tensor, "codes dim"]:
    """The codebook projected on the `size` directions in which it differs most from what masks it.

    About the mean this is PCA, about 0 its uncentred form. It keeps as many numbers of a code as a mask does,
    but each is a mixture of all dimensions: no choice of dimensions does much better.
    """
    centre = _filling(codebook, fill).double()
    differences = codebook.double() - centre
    directions = torch.linalg.svd(differences, full_matrices=False).Vh[:size]
    kept: Tensor = centre + differences @ directions.T @ directions
    return kept.to(codebook.dtype)


def _filling(codebook: Float[Tensor, "codes dim"], fill: Fill) -> Float[Tensor, " dim"]:
    return codebook.mean(dim=0) if fill == "mean" else torch.zeros_like(codebook[0])


@torch.inference_mode()
def reconstruction_error(
    model: VQVAE,
    images: Float[Tensor, "n 3 height width"],
    indices: Int64[Tensor, "n rows columns"],
    codebook: Float[Tensor, "codes dim"],
) -> float:
    """Mean squared error of the images of these codes, decoded with another codebook."""
    return functional.mse_loss(model.decode(indices, codebook), images).item()
