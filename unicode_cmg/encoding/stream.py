"""Features through a trained model, a batch of clips at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unicode_cmg.batch import Encoding, FeatureBatch
from unicode_cmg.data.ahead import READERS, map_ahead
from unicode_cmg.data.labelled import Clips
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError, at_least, unknown
from unicode_cmg.model import Model, evaluating
from unicode_cmg.progress import Progress

BATCH_CLIPS = 64
_SECONDS_BETWEEN_LINES = 10.0  # of progress that is not shown on a terminal


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
    model: Model,
    store: Clips,
    *,
    modalities: Sequence[str] | None = None,
    level: str | None = None,
    batch_size: int = BATCH_CLIPS,
    rows: range | None = None,
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
        rows: Which clips; by default all of them.
        progress: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.

    Raises:
        InputError: A name is unknown; model and store have no modality in common, or the features do not fit
            the model (as soon as the first batch is asked for) or are not finite.
    """
    names = common_modalities(model, store, modalities)
    at_least("encoding", 1, batch_size=batch_size)
    check_level(model, level)
    reference = next(model.parameters())
    read = partial(store.batch, modalities=names, dtype=reference.dtype)
    stored = isinstance(store, FeatureStore)
    if isinstance(store, FeatureStore) and reference.device.type == "cuda":
        read = partial(store.batch, modalities=names, dtype=None, pinned=True)
    rows = range(len(store)) if rows is None else rows
    batches = encode_batches(
        model,
        np.asarray(rows, np.int64),
        read,
        files={m: store.feature_file(m) for m in names},
        level=level,
        batch_size=batch_size,
        readers=READERS if stored else 1,
    )
    return _with_progress(batches, Progress(progress, total=len(rows), unit="clip"))


def check_level(model: Model, level: str | None) -> None:
    """Refuse a level that the model does not offer.

    Raises:
        InputError: It has others, or only one.
    """
    if level is not None and level not in model.levels:
        raise InputError(
            f"a {model.name} model has no level '{level}'",
            where="level",
            expected=f"one of {', '.join(model.levels)}" if model.levels else None,
            fix=None if model.levels else "leave it out: its codes have one level only",
        )


def common_modalities(model: Model, store: Clips, asked: Sequence[str] | None = None) -> tuple[str, ...]:
    """The modalities to encode, in the model's order.

    Raises:
        InputError: One that is asked for is missing in the model or the store, or there is none.
    """
    for name in asked or ():
        for has, known in (("the model", model.modalities), (str(store.path), tuple(store.modalities))):
            if name not in known:
                raise unknown("modality", name, known, where=has)
    names = tuple(m for m in model.modalities if m in (store.modalities if asked is None else asked))
    if not names:
        raise InputError(
            f"the store has {', '.join(store.modalities)}, the model {', '.join(model.modalities)}",
            where=store.path,
            expected="a common modality",
        )
    return names


def layer_codes(encoding: Encoding, layer: int) -> Float[Tensor, "batch time dim"]:
    """`[B, T, D]`, the part of the codes that belongs to one code layer, by its position."""
    return encoding.codes.chunk(encoding.indices.shape[-1], dim=-1)[layer]


def encode_batches(
    model: Model,
    rows: Int64[np.ndarray, " clips"],
    read: Callable[[Int64[np.ndarray, " batch"]], FeatureBatch],
    *,
    files: Mapping[str, object],
    level: str | None = None,
    batch_size: int = BATCH_CLIPS,
    readers: int = 1,
) -> Iterator[CodeBatch]:
    """Encode clips from any source, in evaluation mode, without gradient, on the model's device and in its
    dtype.

    Args:
        model: A trained method; its mode is restored after each batch.
        rows: The clips, in the order in which they are encoded.
        read: Rows of a batch -> their features in some modalities of the model.
        files: Modality -> the file of its features, which an error about them names.
        level: How fine the codes are; the model's own default otherwise.
        batch_size: Clips at a time.
        readers: Threads that read the next batches while this one is encoded; above 1 if `read` allows it.

    Raises:
        InputError: The features do not fit the model.
    """
    reference = next(model.parameters())
    options: dict[str, Any] = {} if level is None else {"level": level}
    chunks = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    for chosen, read_batch in zip(chunks, map_ahead(read, chunks, workers=readers), strict=True):
        batch = read_batch.to(reference.device, reference.dtype)
        encodings, masks = {}, {}
        with evaluating(model):
            for m, x in batch.features.items():
                mask = batch.masks[m]
                try:
                    encodings[m] = model.encode_batch(m, x, mask, **options)
                except InputError as error:
                    raise InputError(
                        error.what, where=files.get(m, error.where), expected=error.expected, fix=error.fix
                    ) from error
                per_step = encodings[m].indices.shape[1] == mask.shape[1]
                masks[m] = mask if per_step else mask.any(dim=1, keepdim=True)  # the one code of a clip
        yield CodeBatch(chosen, encodings, masks)


def _with_progress(batches: Iterator[CodeBatch], shown: Progress) -> Iterator[CodeBatch]:
    try:
        for batch in batches:
            yield batch
            shown.advance(len(batch.rows))
            position = f"encoded {shown.done}/{shown.total} clips, {shown.seconds:.0f} s"
            shown.report(position, every=_SECONDS_BETWEEN_LINES)
    finally:
        shown.close()
