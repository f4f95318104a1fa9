"""Where the right answers stand in a ranking by similarity, when many candidates are equally similar.

A caption that is one code long is one of at most H vectors, so ties are the rule and not the exception. A tie
has no order of its own: what is reported is the expectation over all orders of the tied candidates, in closed
form. `released_ranks` is what the released script does instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional

_SCORES_AT_ONCE = 8_000_000


class Ranking(NamedTuple):
    """Where the best of its right answers stands, for each of N queries.

    Attributes:
        above: `[N]` candidates that are more similar than any right answer.
        tied: `[N]` candidates as similar as the best right answer, itself included.
        right: `[N]` how many of the tied are right answers.

    One candidate is better, and of three equal ones one is right, so it stands at 2, 3 or 4:

    >>> ranking = Ranking(torch.tensor([1]), torch.tensor([3]), torch.tensor([1]))
    >>> [round(ranking.within(k).item(), 2) for k in (1, 2, 3, 4)], ranking.expected().item()
    ([0.0, 0.33, 0.67, 1.0], 3.0)
    """

    above: Int64[Tensor, " queries"]
    tied: Int64[Tensor, " queries"]
    right: Int64[Tensor, " queries"]

    def within(self, k: int) -> Float64[Tensor, " queries"]:
        """The probability that a right answer is among the first k.

        With j = k - above places left for the n tied, of which r are right, none of them is right with
        probability C(n - r, j) / C(n, j) = prod over i < r of (n - j - i) / (n - i).
        """
        places = (k - self.above).clamp(min=0)
        missed = torch.ones(len(self.above), dtype=torch.float64, device=self.above.device)
        for i in range(int(self.right.max())):
            left = (self.tied - places - i).clamp(min=0).double() / (self.tied - i).clamp(min=1)
            missed = torch.where(i < self.right, missed * left, missed)
        return 1 - missed

    def expected(self) -> Float64[Tensor, " queries"]:
        """The expected place, from 1: the first of r right answers among n stands at (n + 1) / (r + 1)."""
        return self.above + (self.tied + 1).double() / (self.right + 1)

    @classmethod
    def blind(cls, right: Int64[Tensor, " queries"], candidates: int) -> Ranking:
        """All candidates tied, of which so many are right answers: what no similarity at all would give."""
        return cls(torch.zeros_like(right), torch.full_like(right, candidates), right)


def rank(
    similarity: Callable[[Tensor], Float[Tensor, "some candidates"]],
    queries: Int64[Tensor, " queries"],
    candidates: Int64[Tensor, " candidates"],
) -> Ranking:
    """Compare every query with all candidates, some queries at a time.

    Args:
        similarity: From positions of some queries to their similarity with each candidate.
        queries: What each query is about.
        candidates: What each candidate is about; it is a right answer to the queries about the same.

    >>> scores = torch.tensor([[0.9, 0.5, 0.5, 0.1]])
    >>> ranking = rank(lambda some: scores[some], torch.tensor([7]), torch.tensor([0, 7, 1, 2]))
    >>> [column.item() for column in ranking]
    [1, 2, 1]
    """
    parts = []
    at_once = max(1, _SCORES_AT_ONCE // len(candidates))
    for some in torch.split(torch.arange(len(queries), device=queries.device), at_once):
        scores, right = similarity(some), queries[some, None] == candidates
        best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        tied = scores == best
        parts.append(Ranking((scores > best).sum(dim=1), tied.sum(dim=1), (tied & right).sum(dim=1)))
    return Ranking(*(torch.cat(column) for column in zip(*parts, strict=True)))


def pooled(
    tables: tuple[Float[Tensor, "_ _"], ...],
    indices: Int64[Tensor, "rows time layers"],
    mask: Bool[Tensor, "rows time"],
) -> tuple[Float64[Tensor, "distinct dim"], Int64[Tensor, " rows"]]:
    """The mean of the codewords of each row's real steps, code layers side by side, of length one.

    Rows that have the same codes in the same proportions get the very same vector, whatever their order and
    number, so that ties stay ties.

    Returns:
        The distinct vectors, and which of them each row has.
    """
    counts = torch.cat(
        [
            indices.new_zeros(len(indices), len(table)).scatter_add_(1, indices[..., k], mask.long())
            for k, table in enumerate(tables)
        ],
        dim=1,
    )
    counts = counts // _common_divisor(counts)[:, None]
    distinct, which = torch.unique(counts, dim=0, return_inverse=True)
    parts = torch.split(distinct.double(), [len(table) for table in tables], dim=1)
    means = [p @ table.double() / p.sum(dim=1, keepdim=True) for p, table in zip(parts, tables, strict=True)]
    return functional.normalize(torch.cat(means, dim=1), dim=1), which


def released_ranks(
    queries: Float32[np.ndarray, "queries dim"],
    candidates: Float32[np.ndarray, "candidates dim"],
    query_items: Int64[np.ndarray, " queries"],
    candidate_items: Int64[np.ndarray, " candidates"],
) -> Int64[np.ndarray, " queries"]:
    """Places from 0 as the released script finds them: an unstable sort, read backwards.

    Queries about the same item are scored together, in float32 as released, because the rounding of a score
    depends on it. Tied candidates stand as numpy's sort happens to leave them.
    """
    ranks = np.empty(len(queries), np.int64)
    gallery = functional.normalize(torch.from_numpy(candidates), dim=1)
    for item in np.unique(query_items):
        rows = np.flatnonzero(query_items == item)
        scores = functional.normalize(torch.from_numpy(queries[rows]), dim=1) @ gallery.T
        for row, values in zip(rows, scores.numpy(), strict=True):
            order = np.argsort(values)[::-1]
            ranks[row] = np.flatnonzero(candidate_items[order] == item)[0]
    return ranks


def _common_divisor(counts: Int64[Tensor, "rows codes"]) -> Int64[Tensor, " rows"]:
    """The greatest common divisor of each row."""
    columns = counts.sort(dim=1, descending=True).values.unbind(dim=1)
    divisor = columns[0]
    for column in columns[1:]:
        if not column.any():
            break
        divisor = torch.gcd(divisor, column)
    return divisor
