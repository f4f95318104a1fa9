"""What a method asks of the discrete space that its modalities share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.codebook.quantized import Quantized


class Quantizer(nn.Module, ABC):
    """Turns features into codes.

    `quantize` reads, `update` writes; nothing else changes the state.
    """

    dim: int

    @abstractmethod
    def quantize(self, z: Float[Tensor, "batch time dim"]) -> Quantized:
        """The codes of every step; changes nothing.

        Raises:
            InputError: The width of `z` is not `dim`.
        """

    @abstractmethod
    def update(
        self,
        features: Mapping[str, Float[Tensor, "batch _ dim"]],
        indices: Mapping[str, Int64[Tensor, "batch _ ..."]],
        masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Learn from a batch without gradient, in training only; under torch.distributed on every rank.

        Args:
            features: `[B, T, D]` by modality, what `quantize` was given.
            indices: `[B, T, K]` by modality, what `quantize` returned.
            masks: `[B, T]` by modality, True where a step is real.
            generator: Random choices.
        """

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each of the K index layers."""

    @abstractmethod
    def codebook_keys(self) -> tuple[str, ...]:
        """Where the K codebooks stand in the state dict; empty if codes are not looked up in codebooks."""

    def codebooks(self) -> tuple[Float[Tensor, "_ dim"], ...]:
        """The K codebooks `[H, D]`; empty if codes are not looked up in codebooks."""
        buffers = dict(self.named_buffers())
        return tuple(buffers[key] for key in self.codebook_keys())
