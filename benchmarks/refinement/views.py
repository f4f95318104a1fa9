"""What heads see of the codes of a layer: all of each codeword, or less of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor

from benchmarks.evaluation.clip_codes import EncodedClips
from unicode_cmg.codebook import squared_distances
from unicode_cmg.encoding.stream import BATCH_CLIPS


class LayerView(ABC):
    """A linear map of the codewords of one layer."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers a head sees of each codeword."""

    @abstractmethod
    def vectors(self, codewords: Float[Tensor, "codes dim"]) -> Float[Tensor, "codes width"]:
        """What a head sees of codewords."""


@dataclass(frozen=True, eq=False)
class KeptDims(LayerView):
    """Some dimensions, as the papers use TOC: a step has the code that it has in all dimensions.

    Attributes:
        dims: The kept ones, ascending, so that keeping all of them changes nothing.
    """

    dims: Int64[ndarray, " kept"]

    @property
    def width(self) -> int:
        return len(self.dims)

    def vectors(self, codewords: Float[Tensor, "codes dim"]) -> Float[Tensor, "codes width"]:
        return codewords[:, torch.from_numpy(self.dims).to(codewords.device)]


@dataclass(frozen=True, eq=False)
class Requantized(KeptDims):
    """Some dimensions, and in these alone the nearest code of what the layer quantized.

    Each residual codebook decides anew for the vector it was given, which holds what the codes chosen in all
    dimensions left over; that vector is not made again from the new codes.

    Attributes:
        codebook: `[H, D]` all codewords of the layer, in their own dtype.
    """

    codebook: Float[Tensor, "codes dim"]

    def numbers(self, inputs: Float[Tensor, "clips time dim"]) -> Int64[Tensor, "clips time"]:
        """The code of each step.

        Distances are taken as the quantizer takes them, so that with all dimensions its codes come out. (The
        batches are those of the encoder, because how a product is rounded can depend on its shape.)
        """
        book = self.vectors(self.codebook)
        found = [
            squared_distances(self.vectors(part.flatten(0, 1)).to(book), book).argmin(-1)
            for part in torch.split(inputs, BATCH_CLIPS)
        ]
        return torch.cat(found).view(inputs.shape[:2])


@dataclass(frozen=True, eq=False)
class Projected(LayerView):
    """Coordinates along some axes, `(e - centre) @ axes`.

    Attributes:
        centre: `[D]`.
        axes: `[D, Q]`, a column for each axis.
    """

    centre: Float[ndarray, " dim"]
    axes: Float[ndarray, "dim width"]

    @property
    def width(self) -> int:
        return int(self.axes.shape[1])

    def vectors(self, codewords: Float[Tensor, "codes dim"]) -> Float[Tensor, "codes width"]:
        centre, axes = (torch.from_numpy(part).to(codewords) for part in (self.centre, self.axes))
        return (codewords - centre) @ axes


def refined(clips: EncodedClips, views: Sequence[LayerView | None]) -> EncodedClips:
    """The same clips as heads see them through one view for each layer; None shows a layer as it is.

    Views that requantize need clips that were encoded `with_inputs`.
    """
    tables, used, columns = list(clips.tables), list(clips.used), list(clips.indices.unbind(-1))
    for k, view in enumerate(views):
        if isinstance(view, Requantized):
            used[k], columns[k] = torch.unique(view.numbers(clips.unquantized[k]), return_inverse=True)
            tables[k] = view.vectors(view.codebook[used[k]]).to(clips.tables[k])
        elif view is not None:
            tables[k] = view.vectors(tables[k])
    return replace(clips, tables=tuple(tables), used=tuple(used), indices=torch.stack(columns, dim=-1))
