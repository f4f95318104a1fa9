"""One index layer of a model, seen from its encodings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unicode_cmg.batch import Encoding
from unicode_cmg.encoding import CodeBatch, layer_codes
from unicode_cmg.errors import InputError
from unicode_cmg.model import Model


@dataclass(frozen=True)
class CodeLayer:
    """The codes of one index layer that are looked at: all of a codebook, else those that occur.

    Attributes:
        name: Its name in `model.code_layers()`.
        position: Its place in `Encoding.indices`.
        num_codes: H, how many codes the layer has.
        numbers: `[U]` the codes looked at, ascending.
        vectors: `[U, D]` their codewords.
    """

    name: str
    position: int
    num_codes: int
    numbers: Int64[Tensor, " codes"]
    vectors: Float[Tensor, "codes dim"]

    def codes(self, encoding: Encoding) -> Int64[Tensor, "batch time"]:
        """The code of each step as a position in `numbers`."""
        return torch.searchsorted(self.numbers, encoding.indices[..., self.position].contiguous())

    def unquantized(self, encoding: Encoding) -> Float[Tensor, "batch time dim"]:
        """What the layer quantized."""
        return encoding.unquantized.chunk(encoding.indices.shape[-1], dim=-1)[self.position]


def layer_name(model: Model, name: str | None) -> str:
    """`name`, or the model's first index layer.

    Raises:
        InputError: The model has no such layer.
    """
    layers = model.code_layers()
    if name is not None and name not in layers:
        raise InputError(
            f"the model has no layer '{name}'", where="layer", expected=f"one of {', '.join(layers)}"
        )
    return name or next(iter(layers))


def describe_layer(model: Model, name: str, batches: Iterable[CodeBatch]) -> CodeLayer:
    """The layer of that name; `batches` are only asked for where it has no codebook."""
    sizes = model.code_layers()
    names = list(sizes)
    position = names.index(name)
    codebook = model.codebooks().get(name)
    if codebook is not None:
        numbers, vectors = torch.arange(sizes[name], device=codebook.device), codebook.detach()
    else:
        numbers, vectors = _observed(position, batches)
    return CodeLayer(name, position, sizes[name], numbers, vectors)


def _observed(
    position: int, batches: Iterable[CodeBatch]
) -> tuple[Int64[Tensor, " codes"], Float[Tensor, "codes dim"]]:
    """The codes that occur, and the vector each had where it was first seen."""
    seen: dict[int, Tensor] = {}
    for batch in batches:
        for modality, encoding in batch.encodings.items():
            mask = batch.masks[modality]
            vectors = layer_codes(encoding, position)[mask]
            numbers, first = np.unique(encoding.indices[..., position][mask].cpu().numpy(), return_index=True)
            for number, row in zip(numbers.tolist(), first.tolist(), strict=True):
                seen.setdefault(number, vectors[row])
    ordered = sorted(seen)
    stacked = torch.stack([seen[number] for number in ordered])
    return torch.tensor(ordered, device=stacked.device), stacked
