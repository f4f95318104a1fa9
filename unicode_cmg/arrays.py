"""Arrays as users have them, NumPy's or torch's and of any float type, as batches for a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unicode_cmg.batch import cleared
from unicode_cmg.errors import InputError

Array = Tensor | np.ndarray
_WHERE = "encode"


def batches_of(
    modality: str, features: Array, mask: Array | None, like: Tensor, batch_size: int
) -> Iterator[tuple[Float[Tensor, "batch time ..."], Bool[Tensor, "batch time"] | None]]:
    """Features and mask, a few clips at a time, on the device and in the dtype of `like`.

    An array that is memory-mapped is read batch by batch.

    Args:
        modality: Its name, for errors.
        features: `[B, T, ...]`, any float type.
        mask: `[B, T]` booleans, or None.
        like: A parameter of the model.
        batch_size: Clips at a time.

    Raises:
        InputError: These are no floats of at least three axes, the mask has another shape, or a valid step
            is not finite.
    """
    check_arrays(modality, features, mask)
    for start in range(0, len(features), batch_size):
        part = slice(start, start + batch_size)
        x = _tensor(features[part], like.dtype).to(device=like.device, dtype=like.dtype)
        valid = None if mask is None else _tensor(mask[part], torch.bool).to(like.device, torch.bool)
        bad = ~cleared(x, valid).flatten(1).isfinite().all(dim=1)
        if bad.any():
            raise InputError(
                f"'{modality}' features of clip {start + int(bad.nonzero()[0])} are NaN or infinite",
                where=_WHERE,
                expected=f"finite values of {str(like.dtype).removeprefix('torch.')} in every valid step",
                fix="mend them, or pass a mask that is False there",
            )
        yield x, valid


def check_arrays(modality: str, features: Any, mask: Any) -> None:
    """Refuse what is no array of floats with clips and steps, and a mask of another kind or shape.

    Raises:
        InputError: They do not fit.
    """
    expected = "[clips, steps, channels], or [clips, steps, height, width, channels]"
    if not isinstance(features, Tensor | np.ndarray):
        raise InputError(
            f"'{modality}' features are of type {type(features).__name__}",
            where=_WHERE,
            expected="a NumPy array or a torch tensor",
            fix="such as numpy.asarray(features)",
        )
    floats = features.is_floating_point() if isinstance(features, Tensor) else features.dtype.kind == "f"
    if not floats:
        raise InputError(
            f"'{modality}' features of type {features.dtype}",
            where=_WHERE,
            expected="floats of any width",
            fix="convert them, as the features of training were",
        )
    if features.ndim < 3 or 0 in features.shape:
        raise InputError(
            f"'{modality}' features of shape {list(features.shape)}",
            where=_WHERE,
            expected=expected,
            fix="give a single clip a first axis, such as features[None]" if features.ndim == 2 else None,
        )
    if mask is None:
        return
    if not isinstance(mask, Tensor | np.ndarray) or mask.dtype not in (torch.bool, np.dtype(bool)):
        kind = mask.dtype if isinstance(mask, Tensor | np.ndarray) else type(mask).__name__
        raise InputError(
            f"the mask of '{modality}' is of type {kind}",
            where=_WHERE,
            expected="an array of booleans, True where a step is valid",
        )
    if tuple(mask.shape) != tuple(features.shape[:2]):
        raise InputError(
            f"the mask of '{modality}' has the shape {list(mask.shape)}",
            where=_WHERE,
            expected=f"{list(features.shape[:2])}, the clips and steps of the features",
        )


def _tensor(values: Array, dtype: torch.dtype) -> Tensor:
    if isinstance(values, Tensor):
        return values
    # A copy, since torch takes no array that is read-only, has negative strides or swapped bytes.
    kind = {torch.bool: np.bool_, torch.float64: np.float64}.get(dtype, np.float32)
    with np.errstate(over="ignore"):  # values that become infinite are refused
        return torch.from_numpy(np.array(values, dtype=kind, order="C"))
