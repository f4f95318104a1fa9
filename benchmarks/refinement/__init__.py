"""Refinement: make codes smaller before heads see them, by TOC and by what it is compared with."""

from __future__ import annotations

from benchmarks.refinement.comparison import ALL, Choice, RefinedResult, check_choices, chosen, compare
from benchmarks.refinement.matching import Merge, match_merges, match_selections
from benchmarks.refinement.merging import MergedModel, merged_view
from benchmarks.refinement.refiners import CodeLayer, Refiner, RefineSection, Size, parse_refiners
from benchmarks.refinement.views import LayerView, refined, view_of

__all__ = [
    "ALL",
    "Choice",
    "CodeLayer",
    "LayerView",
    "Merge",
    "MergedModel",
    "RefineSection",
    "RefinedResult",
    "Refiner",
    "Size",
    "check_choices",
    "chosen",
    "compare",
    "match_merges",
    "match_selections",
    "merged_view",
    "parse_refiners",
    "refined",
    "view_of",
]
