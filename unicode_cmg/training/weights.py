"""The weighted sum of a method's loss terms; it is taken here and nowhere else."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from unicode_cmg.errors import InputError


class LossWeights:
    """Weights by the beginning of a term's name, up to a `/`; the longest match counts, the others weigh 1.

    Args:
        weights: Beginning of a name -> weight, at least 0.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)

    def of(self, term: str) -> float:
        """Weight of one term."""
        parts = term.split("/")
        for length in range(len(parts), 0, -1):
            weight = self._weights.get("/".join(parts[:length]))
            if weight is not None:
                return weight
        return 1.0

    def check(self, terms: Iterable[str]) -> None:
        """Make sure that every weight covers a term, and that something is left to train on.

        Raises:
            InputError: A weight covers no term, or all terms have weight 0.
        """
        terms = list(terms)
        prefixes = sorted(
            {"/".join(parts[: i + 1]) for parts in (t.split("/") for t in terms) for i in range(len(parts))}
        )
        for name in self._weights:
            if name not in prefixes:
                nearest = difflib.get_close_matches(name, prefixes, n=1, cutoff=0.0)
                raise InputError(
                    f"the method has no loss term '{name}'",
                    where="loss_weights",
                    expected="one of " + ", ".join(terms),
                    fix=f"did you mean '{nearest[0]}'?" if nearest else None,
                )
        if terms and all(self.of(term) == 0 for term in terms):
            raise InputError(
                "every loss term has weight 0", where="loss_weights", fix="give one a positive weight"
            )

    def total(self, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """Sum of weight times term; terms of weight 0 are left out, so that they carry no gradient."""
        weighted = [
            loss if weight == 1 else weight * loss
            for loss, weight in ((loss, self.of(term)) for term, loss in losses.items())
            if weight != 0
        ]
        return torch.stack(weighted).sum()
