"""Refinement: make codes smaller before heads see them, by TOC and by what it is compared with."""

from __future__ import annotations

from benchmarks.refinement.choice import Choice, check_choices, chosen
from benchmarks.refinement.comparison import ALL, RefinedResult, compare
from benchmarks.refinement.refiners import CodeLayer, Refiner, RefineSection, Size, parse_refiners
from benchmarks.refinement.selections import Refinement, Use, match_selections, summary, view_of
from benchmarks.refinement.views import LayerView, refined

__all__ = [
    "ALL",
    "Choice",
    "CodeLayer",
    "LayerView",
    "RefineSection",
    "RefinedResult",
    "Refinement",
    "Refiner",
    "Size",
    "Use",
    "check_choices",
    "chosen",
    "compare",
    "match_selections",
    "parse_refiners",
    "refined",
    "summary",
    "view_of",
]
