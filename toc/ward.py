"""Ward's clustering of codewords: the merges, how many groups their heights suggest, and the groups."""

from __future__ import annotations

import numpy as np

from toc._shapes import Float, Int64
from toc.arrays import CodebookError, blocks

WEAK_ELBOW = 1.6
"""Ratio of merge heights below which codes are not merged unasked. Codebooks without groups stay below it: of
normally distributed codewords (100 and 400 codes, 4 to 256 dimensions) the largest was 1.48 in 375 draws."""
MOST_WITHIN = 0.25
"""Share of the variance of the codewords that groups may hide. Codebooks that vary in few directions have
large ratios at very few groups: FCID on hard digits (two seeds) has 1.62 at 3 and 1.75 at 4 groups, for 24
classes, which hide 37 and 40 %; the 10 groups of DCID and FCID on easy digits hide 8 and 3 %."""
_EQUAL = 1e-6  # heights below this share of the largest one are those of equal codewords, up to rounding


def ward_tree(
    codes: Float[np.ndarray, "codes dim"],
) -> tuple[Int64[np.ndarray, "merges 2"], Float[np.ndarray, " merges"]]:
    """All H - 1 merges of Ward's method, and their ascending heights.

    Merge i makes group H + i of two groups; those below H are single codes. The height is
    sqrt(2 |a| |b| / (|a| + |b|)) times the distance between the means of the groups a and b, as in SciPy.

    Raises:
        CodebookError: A code is not finite, or all codewords are equal.
    """
    from scipy.cluster.hierarchy import linkage  # takes as long as all of `import toc`

    values = np.concatenate(list(blocks(codes, normalize=False)))
    if not np.ptp(values, axis=0).any():
        raise CodebookError("all codewords are equal; the codebook was never trained")
    values -= values.mean(axis=0)
    scale = np.abs(values).max()
    tree = linkage(values / scale, "ward")
    return tree[:, :2].astype(np.int64), tree[:, 2] * scale


def cut(pairs: Int64[np.ndarray, "merges 2"], n_groups: int) -> Int64[np.ndarray, " codes"]:
    """The group of each code when `n_groups` are left, numbered in the order of their first codes."""
    total = len(pairs) + 1
    owner = np.arange(2 * total - 1)
    for step in reversed(range(total - n_groups)):
        owner[pairs[step]] = owner[total + step]
    _, first, group = np.unique(owner[:total], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group].astype(np.int64)


def height_ratios(heights: Float[np.ndarray, " merges"]) -> Float[np.ndarray, " ratios"]:
    """`[H - 2]` each height divided by the one before; entry i belongs to H - 1 - i groups.

    Heights of equal codewords are 0 up to rounding; they count as a millionth of the largest height, so that
    every ratio is finite.
    """
    floored = np.maximum(heights, _EQUAL * heights[-1])
    return np.asarray(floored[1:] / floored[:-1])


def variance_within(heights: Float[np.ndarray, " merges"]) -> Float[np.ndarray, " ratios"]:
    """`[H - 2]` share of the variance of the codewords within groups; entry i belongs to H - 1 - i groups.

    The square of a height is twice the sum of squares that the merge moves from between to within groups.
    """
    squares = np.cumsum((heights / heights[-1]) ** 2)
    return np.asarray(squares[:-1] / squares[-1])


def best_size(heights: Float[np.ndarray, " merges"]) -> int | None:
    """The number of groups with the largest ratio of successive heights.

    It is at least 2 and at most H / 2, because more would be less than two codes per group: the ratios there
    are those of the nearest pairs of single codewords, and can be large by chance (up to 17 for 100 codes
    without any groups in two dimensions). Numbers of groups that hide more of the variance than `MOST_WITHIN`
    are considered only if all do.

    Returns:
        None for fewer than four codes.
    """
    total = len(heights) + 1
    if total < 4:
        return None
    first = total - 1 - total // 2
    ratios, within = height_ratios(heights)[first:], variance_within(heights)[first:]
    narrow = within <= MOST_WITHIN
    return total - 1 - first - int(np.argmax(np.where(narrow, ratios, 0) if narrow.any() else ratios))


def is_weak(ratio: float, within: float) -> bool:
    """Whether groups are not well separated."""
    return ratio < WEAK_ELBOW or within > MOST_WITHIN


def judged(ratio: float, within: float) -> str:
    """The two measures of an elbow with their bounds, in words."""
    return (
        f"ratio {ratio:.2f}, expected {WEAK_ELBOW} or more; {within:.0%} of the variance within groups,"
        f" expected {MOST_WITHIN:.0%} or less"
    )
