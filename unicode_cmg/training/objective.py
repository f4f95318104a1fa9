"""The training objective: loss terms of a method and its regularizers, and the weighted sum of them.

The sum is taken here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError, did_you_mean
from unicode_cmg.methods.base import Method
from unicode_cmg.model import evaluating
from unicode_cmg.regularizers import Regularizers
from unicode_cmg.training.batches import read_ahead
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.randomness import preserved, regularizer_generators, validation_generator


class Objective:
    """What a run minimizes.

    Args:
        method: The method.
        regularizers: Those of the run.
        config: Weights, batch size and seed.
    """

    def __init__(self, method: Method[Any], regularizers: Regularizers, config: PretrainConfig) -> None:
        self._method, self._regularizers, self._config = method, regularizers, config
        self._weights = LossWeights(config.loss_weights)
        self._weights_fit = False

    def weight_of(self, term: str) -> float:
        """What a term is multiplied by in the sum, at this point of training."""
        factors = {**self._method.loss_factors(), **self._regularizers.loss_factors()}
        return self._weights.of(term) * _longest_match(factors, term)

    def losses(
        self, batch: FeatureBatch, representation: Any, *, generator: torch.Generator, number: int
    ) -> tuple[dict[str, Float[Tensor, ""]], Float[Tensor, ""]]:
        """The unweighted terms of a batch, and their weighted sum.

        Args:
            batch: Features by modality, with the columns that regularizers read.
            representation: What the method's `represent` returned for its modalities.
            generator: CPU generator of the method's draws.
            number: Of the step or of the validation batch; regularizers draw by it.

        Raises:
            InputError: The first time: `loss_weights` does not fit the terms.
        """
        method, regularizers = self._method, self._regularizers
        own = batch.only(method.modalities)
        terms = method.training_losses(own, generator=generator, representation=representation)
        if len(regularizers):
            view = method.view(own, representation).with_columns(batch)
            draws = regularizer_generators(self._config.training.seed, number, len(regularizers))
            terms = {**terms, **regularizers.losses(view, draws)}
        factors = {**method.loss_factors(), **regularizers.loss_factors()}
        if not self._weights_fit:
            self._weights.check(terms, factors)
            self._weights_fit = True
        return terms, self._weights.total(terms, factors)

    def check(self, store: FeatureStore, accelerator: Accelerator, columns: Sequence[str]) -> None:
        """Compute the terms of two clips once, so that settings that do not fit are found before training.

        Nothing changes: no gradient is computed, and the global random states stay as they are.

        Args:
            store: The data to train on.
            accelerator: Device and precision.
            columns: What to read: the method's modalities, and what the regularizers read beside them.

        Raises:
            InputError: `loss_weights` does not fit the terms.
        """
        method = self._method
        with evaluating(method, self._regularizers), preserved(), accelerator.autocast(), torch.no_grad():
            batch = store.batch(range(min(2, len(store))), modalities=columns).to(accelerator.device)
            method.begin_step(step=0, epoch=0)
            representation = method.represent(batch.only(method.modalities))
            generator = validation_generator(self._config.training.seed, 0)
            self.losses(batch, representation, generator=generator, number=0)

    def validate(
        self, store: FeatureStore, accelerator: Accelerator, columns: Sequence[str]
    ) -> dict[str, float]:
        """Mean of the weighted `total` and of every unweighted term over all clips of `store`.

        The method is in evaluation mode meanwhile: no dropout, and the codebook does not move. Every call
        draws the same negatives, and the global random states stay as they are.

        Args:
            store: The held-out data.
            accelerator: Device and precision.
            columns: What to read: the method's modalities, and what the regularizers read beside them.
        """
        method, training = self._method, self._config.training
        size = training.batch_size
        chunks = (np.arange(first, min(first + size, len(store))) for first in range(0, len(store), size))
        sums: dict[str, Tensor] = {}
        with (
            evaluating(method, self._regularizers),
            preserved(),
            accelerator.autocast(),
            closing(read_ahead(store, chunks, columns, accelerator.device)) as batches,
        ):
            for number, batch in enumerate(batches):
                generator = validation_generator(training.seed, number)
                representation = method.represent(batch.only(method.modalities))
                terms, total = self.losses(batch, representation, generator=generator, number=number)
                for term, loss in {"total": total, **terms}.items():
                    sums[term] = sums.get(term, loss.new_zeros(())) + loss * len(batch)
        return {term: float(value) / len(store) for term, value in sums.items()}


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
                raise InputError(
                    f"the method has no loss term '{name}'",
                    where="loss_weights",
                    expected="one of " + ", ".join(terms),
                    fix=did_you_mean(name, prefixes),
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
