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
        return _longest_match(self._weights, term)

    def check(self, terms: Iterable[str], factors: Mapping[str, float]) -> None:
        """Make sure that every weight covers a term, and that something is left to train on.

        Args:
            terms: Those of the first step.
            factors: The method's own; terms named there may join later.

        Raises:
            InputError: A weight covers no term, or all terms have weight 0.
        """
        trained = [term for term in terms if self.of(term) * _longest_match(factors, term) != 0]
        terms = [*terms, *(term for term in factors if term not in terms)]
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
        if not trained:
            raise InputError(
                "every loss term has weight 0 in the first step",
                where="loss_weights",
                fix="give one a positive weight",
            )

    def total(
        self, losses: Mapping[str, Float[Tensor, ""]], factors: Mapping[str, float]
    ) -> Float[Tensor, ""]:
        """Sum of weight times factor times term; what weighs 0 is left out, so that it carries no gradient.

        Args:
            losses: The terms by name.
            factors: The method's own, by the beginning of a name; see `Method.loss_factors`.
        """
        weighted = [
            loss if weight == 1 else weight * loss
            for term, loss in losses.items()
            if (weight := self.of(term) * _longest_match(factors, term)) != 0
        ]
        return torch.stack(weighted).sum()


def _longest_match(values: Mapping[str, float], term: str) -> float:
    """The value of the longest beginning of a name that has one, else 1."""
    parts = term.split("/")
    for length in range(len(parts), 0, -1):
        value = values.get("/".join(parts[:length]))
        if value is not None:
            return value
    return 1.0
