"""The tensors of a released file: sizes to read a configuration from, and those that have no effect."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unicode_cmg.errors import InputError

Tensors = Mapping[str, Tensor]
Shape = tuple[int, ...]


class Sizes:
    """Axis lengths of released tensors, from which a configuration is read.

    Args:
        tensors: `<Module>/<key>` -> tensor.
        where: The file they came from, for error messages.
    """

    def __init__(self, tensors: Tensors, where: object) -> None:
        self._tensors, self._where = tensors, where

    def __call__(self, key: str, axis: int) -> int:
        """Length of one axis.

        Raises:
            InputError: There is no such tensor, or it has no such axis.
        """
        if key not in self._tensors:
            raise InputError(
                f"tensor '{key}' is missing", where=self._where, expected="every tensor of the encoder"
            )
        shape = self._tensors[key].shape
        if len(shape) <= axis:
            raise InputError(
                f"tensor '{key}' has shape {list(shape)}",
                where=self._where,
                expected=f"more than {axis} axes",
            )
        return shape[axis]

    def has(self, module: str) -> bool:
        """Whether the file holds this module; those it does not hold stay as the method builds them."""
        return any(key.startswith(f"{module}/") for key in self._tensors)


def unused_parts(tensors: Tensors) -> dict[str, Shape]:
    """Shapes of what every released encoder holds and never uses, given the tensors around it.

    The layer that a transformer's layers were copied from, and the spatial attention whose softmax runs over
    an axis of length one (docs/reference/deviations.md).
    """
    shapes: dict[str, Shape] = {}
    for key, tensor in tensors.items():
        if ".encoder.layers.0." in key:
            shapes[key.replace(".encoder.layers.0.", ".encoder_layer.")] = tuple(tensor.shape)
        if key.endswith(".se_layer.0.weight"):
            encoder, channels = key.removesuffix("se_layer.0.weight"), tensor.shape[-1]
            found = tensors.get(f"{encoder}affine_video_ave.weight")
            width = channels // 2 if found is None else found.shape[0]
            shapes |= linear(f"{encoder}affine_video_ave", width, channels)
            shapes |= linear(f"{encoder}affine_video_self", width, channels)
            shapes |= linear(f"{encoder}ave_v_att", 1, width)
    return shapes


def linear(name: str, out_dim: int, in_dim: int) -> dict[str, Shape]:
    """Shapes of a linear layer's tensors."""
    return {f"{name}.weight": (out_dim, in_dim), f"{name}.bias": (out_dim,)}


def as_floating(key: str, tensors: Tensors) -> Tensor:
    """Counters are floating point in released files, in the type of the tensors beside them."""
    tensor = tensors[key]
    if tensor.is_floating_point():
        return tensor
    beside = key.rsplit(".", 1)[0] + "."
    kinds = (t.dtype for k, t in tensors.items() if k.startswith(beside) and t.is_floating_point())
    return tensor.to(next(kinds, torch.get_default_dtype()))


def reproducible(shapes: Mapping[str, Shape], tensors: Tensors) -> dict[str, Tensor]:
    """Values for tensors that have no effect: templates copy their first layer, the rest is drawn anew."""
    generator = torch.Generator().manual_seed(0)
    result = {}
    for key, shape in shapes.items():
        copied = tensors.get(key.replace(".encoder_layer.", ".encoder.layers.0."))
        if copied is not None:
            result[key] = copied.clone()
            continue
        kind = next(t.dtype for k, t in tensors.items() if k.split("/")[0] == key.split("/")[0])
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
        result[key] = (drawn / shape[-1] ** 0.5).to(kind)
    return result
