"""What every quantizer offers: `quantize` looks codes up, `update` learns, `Quantized` holds the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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

_BLOCK = 1 << 20  # distances computed at a time: 4 MB of float32, which stay in the cache

_FAR = 1e4  # added to the squared distance of codewords that are not in use


@dataclass(frozen=True)
class Lookup:
    """The result of one codebook for the steps of one modality.

    Attributes:
        unquantized: `[B, T, D]` what it quantized, in its own dtype: the features, or what the codebooks
            before it left of them.
        codewords: `[B, T, D]` the nearest codewords, without gradient, in the codebook's dtype.
        indices: `[B, T]` which codewords, in `[0, H)`.
        distances: What `squared_distances` returns, where `quantize` was asked for it.
    """

    unquantized: Float[Tensor, "batch time dim"]
    codewords: Float[Tensor, "batch time dim"]
    indices: Int64[Tensor, "batch time"]
    distances: Float[Tensor, "batch time codes"] | None

    @property
    def squared_distances(self) -> Float[Tensor, "batch time codes"]:
        """`[B, T, H]` squared Euclidean distance to every codeword, with gradient into the features.

        Raises:
            InputError: `quantize` was not asked for them.
        """
        if self.distances is None:
            raise InputError(
                "the distances to all codewords were not asked for",
                where="squared_distances",
                fix="call quantize with distances=True",
            )
        return self.distances

    def cut(self, shapes: Sequence[torch.Size]) -> list[Lookup]:
        """The steps of one long clip as those of several batches `[B, T]`, one after the other."""
        fields = (self.unquantized, self.codewords, self.indices)
        distances = [None] * len(shapes) if self.distances is None else _cut(self.distances, shapes)
        return [Lookup(*part) for part in zip(*(_cut(x, shapes) for x in fields), distances, strict=True)]


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
    def quantize(self, z: Float[Tensor, "batch time dim"], *, distances: bool = False) -> Quantized:
        """The codes of every step. The state does not change.

        Args:
            z: Features.
            distances: Whether to keep the distances to all codewords, `[B, T, H]` numbers and their
                gradient. Otherwise they are computed block by block, and memory grows with T alone.

        Raises:
            InputError: The width of `z` is not `dim`.
        """

    def quantize_each(self, features: Features, *, distances: bool = False) -> dict[str, Quantized]:
        """What `quantize` makes of each modality, all of them in one call; arguments and errors are its own.

        Args:
            features: `[B, T_m, D]` by modality.
            distances: As for `quantize`.
        """
        flat = torch.cat([z.flatten(0, 1) for z in features.values()]).unsqueeze(0)
        together = self.quantize(flat, distances=distances)
        shapes = [z.shape[:2] for z in features.values()]
        lookups = zip(*(lookup.cut(shapes) for lookup in together.lookups), strict=True)
        codes = _cut(together.codes, shapes)
        return {m: Quantized(own, made) for m, own, made in zip(features, codes, lookups, strict=True)}

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


def _cut(steps: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Consecutive steps as batches of these shapes `[B, T]`."""
    parts = torch.split_with_sizes(steps, [shape.numel() for shape in shapes], 1)
    return [part.view(*shape, *steps.shape[2:]) for part, shape in zip(parts, shapes, strict=True)]


def squared_distances(
    vectors: Float[Tensor, "vectors dim"], codebook: Float[Tensor, "codes dim"]
) -> Float[Tensor, "vectors codes"]:
    """`||z - e||^2` of every vector and codeword, with gradient into the vectors."""
    return _squared(torch.addmm(codebook.square().sum(-1), vectors, codebook.t(), alpha=-2), vectors)


def nearest_codewords(
    vectors: Float[Tensor, "vectors dim"],
    codebook: Float[Tensor, "codes dim"],
    *,
    in_use: Bool[Tensor, " codes"] | None = None,
) -> Int64[Tensor, " vectors"]:
    """The nearest codeword of every vector: `VQ` of TOC paper eq. A3 and FCID paper eq. 17.

    In blocks, by `argmin_h ||z - e_h|| = argmin_h ||e_h||^2 - 2 z.e_h`.

    Args:
        vectors: z.
        codebook: e.
        in_use: Codewords that can be found; all if left out.
    """
    norms = penalized_norms(codebook, in_use)
    rows = max(1, _BLOCK // len(codebook))
    with torch.no_grad():
        blocks = [
            torch.addmm(norms, vectors[first : first + rows], codebook.t(), alpha=-2).argmin(-1)
            for first in range(0, max(1, len(vectors)), rows)
        ]
    return torch.cat(blocks)


def nearest_and_distances(
    vectors: Float[Tensor, "vectors dim"],
    codebook: Float[Tensor, "codes dim"],
    *,
    in_use: Bool[Tensor, " codes"] | None = None,
) -> tuple[Int64[Tensor, " vectors"], Float[Tensor, "vectors codes"]]:
    """What `nearest_codewords` and `squared_distances` return, from one product; no codeword out of use is
    near.
    """
    scores = torch.addmm(penalized_norms(codebook, in_use), vectors, codebook.t(), alpha=-2)
    return scores.detach().argmin(-1), _squared(scores, vectors)


def penalized_norms(
    codebook: Float[Tensor, "codes dim"], in_use: Bool[Tensor, " codes"] | None
) -> Float[Tensor, " codes"]:
    """`||e||^2`, so much larger where a codeword is not in use that it is nowhere the nearest."""
    norms = codebook.square().sum(-1)
    return norms if in_use is None else norms + _FAR * ~in_use


def _squared(
    scores: Float[Tensor, "vectors codes"], vectors: Float[Tensor, "vectors dim"]
) -> Float[Tensor, "vectors codes"]:
    """`||z||^2` added to `||e||^2 - 2 z.e`, in place."""
    distances = scores.add_(vectors.square().sum(-1, keepdim=True))
    with torch.no_grad():
        distances.relu_()  # rounding can fall below zero; the gradient there is right as it is
    return distances
