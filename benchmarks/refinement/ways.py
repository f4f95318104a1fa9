"""The ways of refining that configurations can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from benchmarks.refinement.l1_way import L1Way
from benchmarks.refinement.pca_way import PCAWay
from benchmarks.refinement.random_way import RandomWay
from benchmarks.refinement.toc_way import TOCWay
from benchmarks.refinement.way import Way
from unicode_cmg.config import Config

AnyWay = Annotated[TOCWay | RandomWay | PCAWay | L1Way, Field(discriminator="way")]
"""How to refine; `way` says which of them."""

_WAYS = ("toc", "random", "pca", "l1")


class RefineSection(Config):
    """Ways of refining by name, as a part of other configurations."""

    refine: dict[str, AnyWay] = Field(
        default={}, description="name -> a way to refine the codebooks, evaluated on every run"
    )

    @field_validator("refine", mode="before")
    @classmethod
    def _known_ways(cls, value: Any) -> Any:
        for name, settings in value.items() if isinstance(value, Mapping) else ():
            way = settings.get("way") if isinstance(settings, Mapping) else None
            if way not in _WAYS:
                raise ValueError(f"'{name}' has the way {way!r}; expected one of {', '.join(_WAYS)}")
        return value


def parse_ways(values: Mapping[str, Any]) -> dict[str, Way]:
    """Ways of refining from plain values, such as `{"half": {"way": "toc", "keep": 0.5}}`.

    Raises:
        InputError: A way is unknown, or one of its settings is unknown or wrong.
    """
    return dict(RefineSection.parse({"refine": values}, where="refinements").refine)
