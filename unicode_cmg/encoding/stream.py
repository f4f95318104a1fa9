"""A feature store through a model, a batch of clips at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unicode_cmg.batch import Encoding
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.encoding.progress import ClipProgress
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method

BATCH_CLIPS = 64


@dataclass(frozen=True)
class CodeBatch:
    """Codes of a few clips, on the model's device.

    Attributes:
        rows: `[B]` rows of the store, ascending.
        encodings: Modality -> what the model makes of these clips.
        masks: Modality -> `[B, T]`, True where a step of the encoding is valid.
    """

    rows: Int64[np.ndarray, " batch"]
    encodings: Mapping[str, Encoding]
    masks: Mapping[str, Bool[Tensor, "batch _"]]


def iterate_codes(
    model: Method[Any],
    store: FeatureStore,
    *,
    modalities: Sequence[str] | None = None,
    level: str | None = None,
    batch_size: int = BATCH_CLIPS,
    progress: bool | None = False,
) -> Iterator[CodeBatch]:
    """Encode the clips of a store in row order, in evaluation mode and without gradient.

    Features are cast to the model's dtype.

    Args:
        model: A trained method; its mode is restored after each batch.
        store: Features with at least one modality of the model.
        modalities: Which to encode; by default all that model and store have in common.
        level: How fine the codes are, of a model that offers a choice (`model.levels`); its own default
            otherwise. A level may have a single step per clip.
        batch_size: Clips at a time.
        progress: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.

    Raises:
        InputError: A name is unknown; model and store have no modality in common, or the features do not fit
            the model (as soon as the first batch is asked for) or are not finite.
    """
    names = common_modalities(model, store, modalities)
    if batch_size < 1:
        raise InputError(f"the batch size {batch_size}", where="encoding", expected="at least one clip")
    check_level(model, level)
    return _batches(model, store, names, level, batch_size, progress)


def common_modalities(
    model: Method[Any], store: FeatureStore, asked: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The modalities to encode, in the model's order.

    Raises:
        InputError: One that is asked for is missing in the model or the store, or there is none.
    """
    for name in asked or ():
        for has, known in (("the model", model.modalities), (str(store.path), tuple(store.modalities))):
            if name not in known:
                raise InputError(
                    f"{has} has no modality '{name}'",
                    where="modalities",
                    expected=f"one of {', '.join(known)}",
                )
    names = tuple(m for m in model.modalities if m in (store.modalities if asked is None else asked))
    if not names:
        raise InputError(
            f"the store has {', '.join(store.modalities)}, the model {', '.join(model.modalities)}",
            where=store.path,
            expected="a common modality",
        )
    return names


def check_level(model: Method[Any], level: str | None) -> None:
    """Refuse a level the model does not offer.

    Raises:
        InputError: It is not one of `model.levels`, or the model has no choice of levels.
    """
    levels = model.levels
    if level is not None and level not in levels:
        raise InputError(
            f"a {model.name} model has no level '{level}'",
            where="level",
            expected=f"one of {', '.join(levels)}" if levels else None,
            fix=None if levels else "leave it out: its codes have one level only",
        )


def layer_codes(encoding: Encoding, layer: int) -> Float[Tensor, "batch time dim"]:
    """`[B, T, D]`, the part of the codes that belongs to one index layer."""
    return encoding.codes.chunk(encoding.indices.shape[-1], dim=-1)[layer]


def _batches(
    model: Method[Any],
    store: FeatureStore,
    modalities: tuple[str, ...],
    level: str | None,
    batch_size: int,
    progress: bool | None,
) -> Iterator[CodeBatch]:
    reference = next(model.parameters())
    options: dict[str, Any] = {} if level is None else {"level": level}
    shown = ClipProgress(progress, total=len(store))
    try:
        for start in range(0, len(store), batch_size):
            rows = np.arange(start, min(start + batch_size, len(store)), dtype=np.int64)
            features = store.batch(rows, modalities=modalities, dtype=reference.dtype).to(reference.device)
            encodings = {}
            with _evaluating(model):
                for m in modalities:
                    try:
                        encodings[m] = model.encode(m, features.features[m], features.masks[m], **options)
                    except InputError as error:
                        where = store.path / f"{m}.npy"
                        raise InputError(
                            error.what, where=where, expected=error.expected, fix=error.fix
                        ) from error
            masks = {m: _mask_of(encodings[m], features.masks[m]) for m in modalities}
            yield CodeBatch(rows, encodings, masks)
            shown.advance(len(rows))
    finally:
        shown.close()


@contextmanager
def _evaluating(model: Method[Any]) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _mask_of(encoding: Encoding, mask: Bool[Tensor, "batch time"]) -> Bool[Tensor, "batch _"]:
    """Valid steps of the codes; the one code of a whole clip always is."""
    return mask if encoding.indices.shape[1] == mask.shape[1] else mask.any(dim=1, keepdim=True)
