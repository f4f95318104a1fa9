"""What heads see of the codes of a code layer: all of each codeword, or less of it, as TOC selections say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor

from benchmarks.evaluation.clip_codes import EncodedClips
from toc import TOCSelection
from unicode_cmg.codebook import nearest_codewords
from unicode_cmg.encoding.stream import BATCH_CLIPS

Use = Literal["slice", "requantize"]
"""Look at the kept dimensions of the codes as they are, or choose the codes anew in these dimensions."""


class LayerView(ABC):
    """A linear map of the codewords of one code layer."""

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
        minus: `[D]` what is subtracted from codewords before heads see them; None for nothing.
    """

    dims: Int64[ndarray, " kept"]
    minus: Float[Tensor, " dim"] | None = field(default=None, kw_only=True)

    @property
    def width(self) -> int:
        return len(self.dims)

    def kept(self, vectors: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows width"]:
        """The kept dimensions, with nothing subtracted."""
        return vectors[:, torch.from_numpy(self.dims).to(vectors.device)]

    def vectors(self, codewords: Float[Tensor, "codes dim"]) -> Float[Tensor, "codes width"]:
        return self.kept(codewords if self.minus is None else codewords - self.minus.to(codewords))


class NewCodes(LayerView):
    """A view through which a step has another code than the encoder gave it.

    Attributes:
        codebook: `[H, D]` the codewords of the new codes.
    """

    codebook: Float[Tensor, "codes dim"]

    @abstractmethod
    def numbers(self, clips: EncodedClips, layer: int) -> Int64[Tensor, "clips time"]:
        """The new code of each step, of one of the encoded code layers."""


@dataclass(frozen=True, eq=False)
class Requantized(KeptDims, NewCodes):
    """Some dimensions, and in these alone the nearest code of what the code layer quantized.

    Each residual codebook decides anew for the vector it was given, which holds what the codes chosen in all
    dimensions left over; that vector is not made again from the new codes.

    Attributes:
        codebook: `[H, D]` all codewords of the code layer, in their own dtype.
    """

    codebook: Float[Tensor, "codes dim"]

    def numbers(self, clips: EncodedClips, layer: int) -> Int64[Tensor, "clips time"]:
        """The nearest code of each step.

        Distances are taken as the quantizer takes them, so that with all dimensions its codes come out. (The
        batches are those of the encoder, because how a product is rounded can depend on its shape.)
        """
        inputs = clips.unquantized[layer]
        book = self.kept(self.codebook)
        found = [
            nearest_codewords(self.kept(part.flatten(0, 1)).to(book), book)
            for part in torch.split(inputs, BATCH_CLIPS)
        ]
        return torch.cat(found).view(inputs.shape[:2])


@dataclass(frozen=True, eq=False)
class Merged(NewCodes):
    """Groups of codes in place of codes: heads see the mean codeword of the group.

    Attributes:
        groups: `[H]` the group of each code.
        codebook: `[K, D]` the mean codeword of each group.
        inner: What heads see of it, and how the code is chosen that is in the group; None for all dimensions
            and the code of the encoder.
    """

    groups: Int64[Tensor, " codes"]
    codebook: Float[Tensor, "groups dim"]
    inner: KeptDims | None = None

    @property
    def width(self) -> int:
        return self.codebook.shape[1] if self.inner is None else self.inner.width

    def vectors(self, codewords: Float[Tensor, "codes dim"]) -> Float[Tensor, "codes width"]:
        return codewords if self.inner is None else self.inner.vectors(codewords)

    def numbers(self, clips: EncodedClips, layer: int) -> Int64[Tensor, "clips time"]:
        if isinstance(self.inner, Requantized):
            return self.groups[self.inner.numbers(clips, layer)]
        return self.groups[clips.used[layer][clips.indices[..., layer]]]


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
    """The same clips as heads see them through one view for each code layer; None shows it as it is.

    Views that requantize need clips that were encoded `with_unquantized`.
    """
    tables, used, columns = list(clips.tables), list(clips.used), list(clips.indices.unbind(-1))
    for k, view in enumerate(views):
        if isinstance(view, NewCodes):
            used[k], columns[k] = torch.unique(view.numbers(clips, k), return_inverse=True)
            tables[k] = view.vectors(view.codebook[used[k]]).to(clips.tables[k])
        elif view is not None:
            tables[k] = view.vectors(tables[k])
    return replace(clips, tables=tuple(tables), used=tuple(used), indices=torch.stack(columns, dim=-1))


def view_of(selection: TOCSelection, use: Use, codebook: Float[Tensor, "codes dim"]) -> KeptDims:
    """What heads see of a code layer through a selection; of a centred one, codewords less their mean.

    A linear head could subtract the mean by itself, but it does not learn to (docs/results, TOC).
    """
    dims = np.flatnonzero(selection.mask).astype(np.int64)
    book = codebook.detach()
    minus = book.mean(dim=0) if selection.scores.centered else None
    return KeptDims(dims, minus=minus) if use == "slice" else Requantized(dims, book, minus=minus)
