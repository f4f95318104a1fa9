"""TOC: the dimensions that score best in the codebook."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from benchmarks.refinement.selections import Use, view_of
from benchmarks.refinement.views import LayerView
from benchmarks.refinement.way import LayerMaterial, Way, codebook_errors
from toc import VARIANTS, optimize


class TOCWay(Way):
    """Training-free optimization (FCID paper, eq 9; TOC paper, eq 11); `lam: 0` is its similarity alone (S),
    `lam: 1` its variance alone (V)."""

    way: Literal["toc"]
    lam: float = Field(default=0.3, ge=0, le=1, description="weight of the variance against the similarity")
    variant: str = Field(default="paper", description="scores as in the papers, or as in a released script")
    use: Use = Field(
        default="slice", description="look at the kept dimensions of the codes, or choose codes anew in them"
    )

    @field_validator("variant")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in VARIANTS:
            raise ValueError(f"unknown variant '{value}'; expected one of {', '.join(VARIANTS)}")
        return value

    @property
    def requantizes(self) -> bool:
        return self.use == "requantize"

    def views(self, layer: LayerMaterial) -> list[list[LayerView]]:
        options = {"lam": self.lam, **VARIANTS[self.variant]}
        with codebook_errors(layer.name):
            selections = [optimize(layer.codewords, size, layer=layer.name, **options) for size in self.keep]
        return [[view_of(selection, self.use, layer.codebook)] for selection in selections]
