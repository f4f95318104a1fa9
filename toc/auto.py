"""How many dimensions to keep, from the codebook alone."""

from __future__ import annotations

import math

import numpy as np

from toc._shapes import Float
from toc.scores import TOCScores, blocks

AUTO = "auto"
_PRODUCT_ROWS = 512  # fewer rows a product would leave most of its time to reading the sum back


def automatic_size(codes: Float[np.ndarray, "codes dim"], scores: TOCScores, normalize: bool) -> int:
    """The number of dimensions that `n_dims="auto"` keeps: no labels, no data, no threshold of its own.

    Eq 9 of the FCID paper ranks by the sum of U_k over the kept dimensions (eq 7 makes the similarity such a
    sum). Left free to choose how many, that sum is largest with exactly the dimensions of positive U_k: for
    many codes those with |mean| / std < sqrt(lam / (1 - lam)), 0.65 at lam = 0.3. So the number
    goes with what the papers already maximise.

    A large common offset, or a small lam, can leave fewer dimensions than the codes differ in. Therefore at
    least the effective number of dimensions is kept; see `effective_dims`. Trained codes differ in few
    directions (1 to 32 of 64 on the digits), so that this decides for codebooks of little but offset alone,
    such as some second layers of H-DCID. Codes that differ alike in every direction keep every dimension.

    Args:
        codes: `[H, D]`, the codebook.
        scores: Its scores.
        normalize: Whether they are of unit codes.
    """
    positive = int(np.count_nonzero(scores.score > 0))
    # Rounding may put a whole number a hair above itself.
    return max(positive, math.ceil(effective_dims(codes, scores, normalize) - 1e-6))


def effective_dims(codes: Float[np.ndarray, "codes dim"], scores: TOCScores, normalize: bool) -> float:
    """Participation ratio of the codes: (sum l)^2 / sum l^2 over the eigenvalues l of their covariance.

    It is n where the codes vary equally in n orthogonal directions and not at all in others, and 1 where all
    codes are the same. Eigenvalues are not computed: the sums are the trace of the covariance, and
    the sum of its squared entries. That takes O(H D min(H, D)) time and no more extra memory than two copies
    of the codebook in float64.
    """
    spread = math.sqrt(scores.variance.sum())
    if spread == 0:
        return 1.0
    count, dim = codes.shape
    mean = sum((block.sum(axis=0) for block in blocks(codes, normalize)), np.zeros(dim)) / count
    centred = ((block - mean) / spread for block in blocks(codes, normalize, _PRODUCT_ROWS))
    if count < dim:  # the Gram matrix has the same eigenvalues, and is the smaller one
        rows = np.concatenate(list(centred))
        products = rows @ rows.T
    else:
        products = np.zeros((dim, dim))
        for block in centred:
            products += block.T @ block
    return float(np.trace(products) ** 2 / np.vdot(products, products))
