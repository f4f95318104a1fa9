"""What lies near each codeword: steps of clips, and other codewords."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

_AT_ONCE = 1 << 23  # distances


class NearestSteps:
    """For each of U codewords the steps nearest to it, from a stream.

    Steps that were quantized to the codeword come first, then others, each by distance. No two steps of a
    codeword have the same key. Memory is `[N, U]`, however many steps pass; of equals the earlier stays.

    Args:
        vectors: `[U, D]` the codewords.
        keep: N, how many steps to keep for each.
    """

    def __init__(self, vectors: Float[Tensor, "codes dim"], keep: int) -> None:
        self._vectors = vectors.float()
        shape, device = (keep, len(vectors)), vectors.device
        self._score = torch.full(shape, torch.inf, dtype=torch.float64, device=device)
        self._key = torch.full(shape, -1, device=device)
        self.number = torch.full(shape, -1, device=device)
        """`[N, U]` numbers of the steps, nearest first; -1 where there are fewer."""
        self.distance = torch.full(shape, torch.inf, device=device)
        """`[N, U]` their Euclidean distances."""

    @property
    def chose(self) -> Tensor:
        """`[N, U]` whether the step was quantized to this codeword, and not to one still nearer to it."""
        return self._score < 1

    def add(
        self,
        numbers: Int64[Tensor, " steps"],
        keys: Int64[Tensor, " steps"],
        features: Float[Tensor, "steps dim"],
        codes: Int64[Tensor, " steps"],
    ) -> None:
        """Take note of a few steps.

        Args:
            numbers: What to call them, 0 or more.
            keys: Steps with the same key are alike, and the best of them is enough; 0 or more.
            features: What was quantized.
            codes: To which of the U codewords.
        """
        size = max(_AT_ONCE // len(self._vectors), 1)
        for at in range(0, len(numbers), size):
            part = slice(at, at + size)
            self._add(numbers[part], keys[part], features[part].float(), codes[part])

    def _add(
        self,
        numbers: Int64[Tensor, " steps"],
        keys: Int64[Tensor, " steps"],
        features: Float[Tensor, "steps dim"],
        codes: Int64[Tensor, " steps"],
    ) -> None:
        distance = _distances(features, self._vectors)
        chose = codes.unsqueeze(-1) == torch.arange(len(self._vectors), device=codes.device)
        # ascending in the distance, below 1 for those that chose the codeword and from 1 on for others
        score = distance.double() / (1 + distance.double()) + ~chose
        alike, group = torch.unique(keys, return_inverse=True)
        best, where = _best_of_groups(score, group, len(alike))
        known = self._key.unsqueeze(1) == alike.unsqueeze(-1)
        better = best < self._score.unsqueeze(1)
        kept = self._score.masked_fill((known & better).any(1), torch.inf)
        best = best.masked_fill((known & ~better).any(0), torch.inf)
        self._score, order = torch.sort(torch.cat([kept, best]), dim=0, stable=True)
        self._score, order = self._score[: len(kept)], order[: len(kept)]
        self._key = torch.cat([self._key, alike.unsqueeze(-1).expand_as(best)]).gather(0, order)
        self.number = torch.cat([self.number, numbers[where]]).gather(0, order)
        self.distance = torch.cat([self.distance, distance.gather(0, where)]).gather(0, order)


def similar_codes(
    vectors: Float[Tensor, "codes dim"], keep: int
) -> tuple[Int64[Tensor, "codes _"], Float[Tensor, "codes _"]]:
    """For each codeword the `keep` others of the largest cosine similarity, and that similarity.

    A zero codeword has similarity 0 to all others.
    """
    unit = F.normalize(vectors.float(), dim=-1)
    keep, size = min(keep, len(unit) - 1), max(_AT_ONCE // len(unit), 1)
    similar, cosines = [], []
    for at in range(0, len(unit), size):
        cosine = unit[at : at + size] @ unit.T
        cosine.diagonal(offset=at).fill_(-torch.inf)
        values, order = torch.sort(cosine, dim=1, descending=True, stable=True)
        similar.append(order[:, :keep])
        cosines.append(values[:, :keep])
    return torch.cat(similar), torch.cat(cosines)


def _distances(x: Float[Tensor, "steps dim"], y: Float[Tensor, "codes dim"]) -> Float[Tensor, "steps codes"]:
    squared = x.square().sum(-1, keepdim=True) + y.square().sum(-1) - 2 * x @ y.T
    return squared.clamp(min=0).sqrt()


def _best_of_groups(
    score: Float[Tensor, "steps codes"], group: Int64[Tensor, " steps"], groups: int
) -> tuple[Float[Tensor, "groups codes"], Int64[Tensor, "groups codes"]]:
    """The smallest score of each group of steps, and the first step that has it."""
    into = group.unsqueeze(-1).expand_as(score)
    best = score.new_full((groups, score.shape[1]), torch.inf).scatter_reduce(0, into, score, "amin")
    steps = torch.arange(len(score), device=score.device).unsqueeze(-1)
    candidates = torch.where(score == best[group], steps, len(score))
    first = candidates.new_full(best.shape, len(score)).scatter_reduce(0, into, candidates, "amin")
    return best, first
