"""Looking at data before training on it, and measuring the losses on held-out clips."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method
from unicode_cmg.training.batches import read_ahead
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.randomness import preserved, validation_generator
from unicode_cmg.training.weights import LossWeights


def check_store(method: Method[Any], store: FeatureStore, device: torch.device) -> None:
    """Pass one clip through the encoders, so that a store that does not fit is found before training.

    Raises:
        InputError: The store lacks a modality of the method, or its features have another shape.
    """
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


def validation_losses(
    method: Method[Any], store: FeatureStore, config: PretrainConfig, accelerator: Accelerator
) -> dict[str, float]:
    """Mean of every loss term, unweighted, and of their weighted `total`, over all clips of `store`.

    The method is in evaluation mode meanwhile: no dropout, and the codebook does not move. Every call draws
    the same negatives, and the global random states stay as they are.
    """
    size = config.training.batch_size
    chunks = [np.arange(first, min(first + size, len(store))) for first in range(0, len(store), size)]
    weights = LossWeights(config.loss_weights)
    sums: dict[str, torch.Tensor] = {}
    method.eval()
    try:
        with (
            torch.no_grad(),
            preserved(),
            accelerator.autocast(),
            closing(read_ahead(store, chunks, method.modalities, accelerator.device)) as batches,
        ):
            for number, batch in enumerate(batches):
                generator = validation_generator(config.training.seed, number)
                losses = method.training_losses(batch, generator=generator)
                for term, loss in {"total": weights.total(losses, method.loss_factors()), **losses}.items():
                    sums[term] = sums.get(term, loss.new_zeros(())) + loss * len(batch)
    finally:
        method.train()
    return {term: float(value) / len(store) for term, value in sums.items()}
