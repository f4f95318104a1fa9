"""Refusing features that do not fit a method, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.errors import InputError


@runtime_checkable
class FeatureShape(Protocol):
    """What a configuration says of the features of one modality."""

    @property
    def dim(self) -> int:
        """Channels."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width; None for one vector a step."""


def check_batch(batch: FeatureBatch, shapes: Mapping[str, FeatureShape], *, aligned: bool = True) -> None:
    """Refuse a batch that lacks a modality or whose features have another shape.

    Args:
        batch: The batch.
        shapes: Modality -> what the method was configured for.
        aligned: Whether all modalities must have the same number of steps.

    Raises:
        InputError: It does not fit.
    """
    given, known = set(batch.features), set(shapes)
    if given != known:
        name = sorted(given ^ known)[0]
        raise InputError(
            f"modality '{name}' is {'unknown to the model' if name in given else 'missing'}",
            where="batch",
            expected=f"exactly {', '.join(sorted(known))}",
        )
    for m, x in batch.features.items():
        check_features(m, x, shapes)
    lengths = {m: x.shape[1] for m, x in batch.features.items()}
    if aligned and len(set(lengths.values())) > 1:
        raise InputError(
            f"clips have different lengths: {', '.join(f'{m} {n}' for m, n in lengths.items())} steps",
            where="batch",
            expected="the same number of steps in every modality",
            fix="pad the shorter ones and mask the padding",
        )


def check_features(modality: str, features: Tensor, shapes: Mapping[str, FeatureShape]) -> None:
    """Refuse the features of an unknown modality, or of another shape than configured.

    Raises:
        InputError: They do not fit.
    """
    if modality not in shapes:
        raise InputError(
            f"unknown modality '{modality}'", where="model", expected=f"one of {', '.join(shapes)}"
        )
    want = (*(shapes[modality].grid or ()), shapes[modality].dim)
    if features.ndim != 2 + len(want) or tuple(features.shape[2:]) != want or features.shape[1] == 0:
        raise InputError(
            f"'{modality}' features of shape {list(features.shape)}",
            where="model",
            expected=f"[batch, time >= 1, {', '.join(map(str, want))}]",
            fix="use the features the model was configured for",
        )
