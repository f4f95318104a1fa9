"""What every quantizer offers: `quantize` looks codes up, `update` learns, `Quantized` holds the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.batch import Encoding
from unicode_cmg.errors import InputError

Features = Mapping[str, Float[Tensor, "batch _ dim"]]
"""Modality -> `[B, T, D]` what `quantize` was given."""

Indices = Mapping[str, Int64[Tensor, "batch _ ..."]]
"""Modality -> `[B, T, K]`, or `[B, T]` if K is 1: which codewords `quantize` chose."""

Masks = Mapping[str, Bool[Tensor, "batch _"]] | None
"""Modality -> `[B, T]` True where a step is real; modalities left out are real throughout."""

Generator = torch.Generator | None


@dataclass(frozen=True)
class Lookup:
    """The result of one codebook for the steps of one modality.

    Attributes:
        unquantized: `[B, T, D]` what it quantized, in its own dtype: the features, or what the codebooks
            before it left of them.
        codewords: `[B, T, D]` the nearest codewords, without gradient, in the codebook's dtype.
        indices: `[B, T]` which codewords, in `[0, H)`.
        squared_distances: `[B, T, H]` squared Euclidean distance to every codeword, with gradient into the
            features.
    """

    unquantized: Float[Tensor, "batch time dim"]
    codewords: Float[Tensor, "batch time dim"]
    indices: Int64[Tensor, "batch time"]
    squared_distances: Float[Tensor, "batch time codes"]


@dataclass(frozen=True)
class Quantized:
    """One modality after quantization by one codebook, or by several whose codewords add up.

    Attributes:
        codes: `[B, T, D]` the codewords with a gradient into the features, in the dtype of the features.
        lookups: One for each of the K codebooks.
    """

    codes: Float[Tensor, "batch time dim"]
    lookups: tuple[Lookup, ...]

    @property
    def codewords(self) -> Float[Tensor, "batch time dim"]:
        """`codes` without gradient, in the codebook's dtype."""
        return reduce(torch.add, (lookup.codewords for lookup in self.lookups))

    @property
    def indices(self) -> Int64[Tensor, "batch time layers"]:
        """`[B, T, K]` which codeword of each codebook."""
        return torch.stack([lookup.indices for lookup in self.lookups], dim=-1)

    @property
    def side_by_side(self) -> Float[Tensor, "batch time code_dim"]:
        """`[B, T, K*D]` the codewords of the K codebooks, concatenated and not added up."""
        if len(self.lookups) == 1:
            return self.codes
        return torch.cat([lookup.codewords for lookup in self.lookups], dim=-1).to(self.codes.dtype)


class Quantizer(nn.Module, ABC):
    """Turns features into codes: `quantize` reads the state, `update` writes it, and nothing else does.

    Attributes:
        dim: Width D of features and codes.
    """

    dim: int

    @abstractmethod
    def quantize(self, z: Float[Tensor, "batch time dim"]) -> Quantized:
        """The codes of every step. The state does not change.

        Raises:
            InputError: The width of `z` is not `dim`.
        """

    def encode(self, z: Float[Tensor, "batch time dim"]) -> Encoding:
        """The codes of every step, those of the K code layers side by side; errors as for `quantize`."""
        quantized = self.quantize(z)
        unquantized = torch.cat([lookup.unquantized for lookup in quantized.lookups], dim=-1)
        return Encoding(z, quantized.side_by_side, quantized.indices, unquantized)

    @abstractmethod
    def update(
        self, features: Features, indices: Indices, masks: Masks = None, *, generator: Generator = None
    ) -> None:
        """Learn from a batch without gradient. Under torch.distributed every rank must call it.

        Args:
            features: `[B, T, D]` by modality, what `quantize` was given; all or some of the modalities.
            indices: `[B, T, K]`, or `[B, T]` if K is 1, what `quantize` returned.
            masks: `[B, T]`, True where a step is real; modalities left out are real throughout.
            generator: Source of random choices; under several ranks the draws of rank 0 count.

        Raises:
            InputError: A modality is unknown, or shapes differ between modalities that pull each other's
                codes.
        """

    def targets(
        self, features: Features, quantized: Mapping[str, Quantized], masks: Masks = None
    ) -> dict[str, Float[Tensor, "batch _ dim"]]:
        """Modality -> `[B, T, D]` the codewords that its features are to stay close to, without gradient.

        Args:
            features: What `quantize` was given, by modality.
            quantized: What it returned.
            masks: True where a step is real.
        """
        return {m: q.codewords for m, q in quantized.items()}

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each of the K code layers."""

    @abstractmethod
    def codebook_keys(self) -> tuple[str, ...]:
        """Keys of the K codebooks in the state dict; empty if codes are not looked up in codebooks."""

    def codebooks(self) -> tuple[Float[Tensor, "_ dim"], ...]:
        """The K codebooks `[H, D]`; empty if codes are not looked up in codebooks."""
        buffers = dict(self.named_buffers())
        return tuple(buffers[key] for key in self.codebook_keys())

    def _check_width(self, z: Tensor) -> None:
        if z.shape[-1] != self.dim:
            raise InputError(
                f"features of width {z.shape[-1]}",
                where=f"{type(self).__name__}.quantize",
                expected=f"width {self.dim}",
            )


def squared_distances(
    vectors: Float[Tensor, "vectors dim"], codebook: Float[Tensor, "codes dim"]
) -> Float[Tensor, "vectors codes"]:
    """`||z - e||^2` of every vector and codeword, with gradient into the vectors; the least is the code."""
    norms = codebook.square().sum(-1) + vectors.square().sum(-1, keepdim=True)
    distances = torch.addmm(norms, vectors, codebook.t(), alpha=-2)
    with torch.no_grad():
        distances.relu_()  # rounding can fall below zero; the gradient there is right as it is
    return distances
