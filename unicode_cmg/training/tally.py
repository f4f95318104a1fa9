"""Which codes have had any use since they were last counted, over as many steps as that takes to tell."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int64
from torch import Tensor

CHOICES_PER_CODE = 20
"""Choices after which a code without any is unused: codes that are used alike are missed once in e^20."""


class Tally:
    """Choices of each code by code layer.

    A few steps can leave most codes of a large codebook without use, so codes are told to be unused only
    after `CHOICES_PER_CODE` choices for each of them, and counted anew then.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Int64[Tensor, " codes"]] = {}

    def add(self, chosen: Mapping[str, Int64[Tensor, " codes"]]) -> None:
        """Take in the choices of one step; nothing is read from the device."""
        for layer, counts in chosen.items():
            self._counts[layer] = self._counts[layer] + counts if layer in self._counts else counts

    def unused(self) -> dict[str, float]:
        """`LAYER/unused`, codes that no modality chose, of the layers that have had enough choices.

        These layers are counted anew afterwards.
        """
        found: dict[str, float] = {}
        for layer, counts in list(self._counts.items()):
            choices, unused = torch.stack([counts.sum(), (counts == 0).sum()]).tolist()
            if choices >= CHOICES_PER_CODE * len(counts):
                found[f"{layer}/unused"] = float(unused)
                del self._counts[layer]
        return found

    def state(self) -> dict[str, Tensor]:
        """Tensors that `restore` takes back."""
        return dict(self._counts)

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Continue the count that `state` described."""
        self._counts = {layer: counts.to(device) for layer, counts in tensors.items()}
