"""Ways to make codes smaller before heads see them: TOC, and what it is compared with."""

from __future__ import annotations

from benchmarks.refinement.comparison import RefinedResult, compare
from benchmarks.refinement.selections import Refinement, Use, match_selections, summary, view_of
from benchmarks.refinement.views import LayerView, refined
from benchmarks.refinement.way import LayerMaterial, Size, Way
from benchmarks.refinement.ways import AnyWay, parse_ways

__all__ = [
    "AnyWay",
    "LayerMaterial",
    "LayerView",
    "RefinedResult",
    "Refinement",
    "Size",
    "Use",
    "Way",
    "compare",
    "match_selections",
    "parse_ways",
    "refined",
    "summary",
    "view_of",
]
