"""Looking at data before training on it, and measuring the losses on held-out clips."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from unicode_cmg.batch import StepView
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method
from unicode_cmg.regularizers import Regularizers
from unicode_cmg.training.batches import read_ahead
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.randomness import preserved, regularizer_generators, validation_generator
from unicode_cmg.training.weights import LossWeights


def check_store(
    method: Method[Any], store: FeatureStore, device: torch.device, columns: Sequence[str] = ()
) -> None:
    """Pass one clip through the encoders, so that a store that does not fit is found before training.

    Args:
        method: The method.
        store: The data.
        device: Where the method is.
        columns: What regularizers read beside the method's modalities.

    Raises:
        InputError: The store lacks a modality of the method or a column, or its features have another shape.
    """
    for column in columns:
        if column not in store.modalities:
            raise InputError(
                f"no column '{column}', which a regularizer reads",
                where=store.path,
                fix=f"the store has {', '.join(store.modalities)}",
            )
    for modality in method.modalities:
        if modality not in store.modalities:
            raise InputError(
                f"no modality '{modality}', which the method is configured for",
                where=store.path,
                expected=f"the modalities {', '.join(method.modalities)}",
                fix=f"the store has {', '.join(store.modalities)}",
            )
    training = method.training
    method.eval()
    try:
        with torch.no_grad(), preserved():
            method.represent(store.batch([0], modalities=method.modalities).to(device))
    except InputError as error:
        where = store.path if error.where is None else f"{store.path}: {error.where}"
        raise InputError(error.what, where=where, expected=error.expected, fix=error.fix) from None
    finally:
        method.train(training)


def first_view(
    method: Method[Any], store: FeatureStore, device: torch.device, columns: Sequence[str]
) -> StepView:
    """What the method shows of the first clip, without a graph; `check_store` must have passed.

    Raises:
        InputError: The method takes no regularizers.
    """
    batch = store.batch([0], modalities=dict.fromkeys((*method.modalities, *columns))).to(device)
    training = method.training
    method.eval()
    try:
        with torch.no_grad(), preserved():
            own = batch.only(method.modalities)
            return method.view(own, method.represent(own)).with_columns(batch)
    finally:
        method.train(training)


def validation_losses(
    method: Method[Any],
    regularizers: Regularizers,
    store: FeatureStore,
    config: PretrainConfig,
    accelerator: Accelerator,
    columns: Sequence[str] = (),
) -> dict[str, float]:
    """Mean of every loss term, unweighted, and of their weighted `total`, over all clips of `store`.

    The method is in evaluation mode meanwhile: no dropout, and the codebook does not move. Every call draws
    the same negatives, and the global random states stay as they are.

    Args:
        method: The method.
        regularizers: Those of the run.
        store: The held-out data.
        config: Weights, batch size and seed.
        accelerator: Device and precision.
        columns: What the regularizers read beside the method's modalities.
    """
    size = config.training.batch_size
    chunks = [np.arange(first, min(first + size, len(store))) for first in range(0, len(store), size)]
    weights = LossWeights(config.loss_weights)
    sums: dict[str, torch.Tensor] = {}
    read = tuple(dict.fromkeys((*method.modalities, *columns)))
    method.eval()
    regularizers.eval()
    try:
        with (
            torch.no_grad(),
            preserved(),
            accelerator.autocast(),
            closing(read_ahead(store, chunks, read, accelerator.device)) as batches,
        ):
            for number, batch in enumerate(batches):
                generator = validation_generator(config.training.seed, number)
                own = batch.only(method.modalities)
                representation = method.represent(own)
                losses = method.training_losses(own, generator=generator, representation=representation)
                if len(regularizers):
                    view = method.view(own, representation).with_columns(batch)
                    draws = regularizer_generators(config.training.seed, number, len(regularizers))
                    losses = {**losses, **regularizers.losses(view, draws)}
                factors = {**method.loss_factors(), **regularizers.loss_factors()}
                for term, loss in {"total": weights.total(losses, factors), **losses}.items():
                    sums[term] = sums.get(term, loss.new_zeros(())) + loss * len(batch)
    finally:
        method.train()
        regularizers.train()
    return {term: float(value) / len(store) for term, value in sums.items()}
