"""How far vectors are from codewords."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def squared_distances(
    vectors: Float[Tensor, "vectors dim"], codebook: Float[Tensor, "codes dim"]
) -> Float[Tensor, "vectors codes"]:
    """`||z - e||^2` of every vector and codeword, with gradient into the vectors; the least is the code."""
    norms = codebook.square().sum(-1) + vectors.square().sum(-1, keepdim=True)
    distances = torch.addmm(norms, vectors, codebook.t(), alpha=-2)
    with torch.no_grad():
        distances.relu_()  # rounding can fall below zero; the gradient there is right as it is
    return distances
