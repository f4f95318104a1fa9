"""Principal components of the codebook: as many numbers a code, but mixed from all dimensions."""

from __future__ import annotations

from typing import Literal

from benchmarks.refinement.views import LayerView, Projected
from benchmarks.refinement.way import LayerMaterial, Way
from unicode_cmg.errors import InputError


class PCAWay(Way):
    """Coordinates along the directions in which the codes vary most; like TOC it needs the codebook alone."""

    way: Literal["pca"]

    def views(self, layer: LayerMaterial) -> list[list[LayerView]]:
        from sklearn.decomposition import PCA

        counts, most = self.counts(layer), min(layer.codewords.shape)
        if max(counts) > most:
            raise InputError(
                f"{max(counts)} principal components of {len(layer.codewords)} codes",
                where=f"code layer {layer.name}",
                expected=f"at most {most}",
            )
        fitted = PCA(max(counts), svd_solver="full").fit(layer.codewords)
        return [[Projected(fitted.mean_, fitted.components_[:count].T.copy())] for count in counts]
