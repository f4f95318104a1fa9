"""Dimensions drawn at random: what a selection has to beat."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from benchmarks.refinement.views import KeptDims, LayerView
from benchmarks.refinement.way import LayerMaterial, Way


class RandomWay(Way):
    """As many dimensions, whichever they are."""

    way: Literal["random"]
    draws: int = Field(default=10, ge=1, description="how many selections; results are their mean")
    seed: int = Field(default=0, ge=0, description="of the draws")

    def views(self, layer: LayerMaterial) -> list[list[LayerView]]:
        dim = layer.codebook.shape[1]
        return [
            [KeptDims(self._draw(draw, layer.place, dim, count)) for draw in range(self.draws)]
            for count in self.counts(layer)
        ]

    def _draw(self, draw: int, place: int, dim: int, count: int) -> np.ndarray:
        """The same order for every size, so that of one draw the smaller selection lies in the larger one."""
        order = np.random.default_rng([self.seed, draw, place]).permutation(dim)
        return np.sort(order[:count]).astype(np.int64)
