"""Training-free optimization of a codebook (TOC): keep the dimensions that tell its codes apart; merge codes.

>>> import numpy as np
>>> from toc import optimize
>>> codebook = np.random.default_rng(0).normal(size=(400, 256))
>>> len(optimize(codebook, n_dims=128).indices)
128
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toc.arrays import CodebookError, codebook_sha256
from toc.dimensions import best_and_worst_dims, best_dims
from toc.merging import CodeMerge, merge_codes
from toc.requantizing import requantize
from toc.scores import VARIANTS, TOCScores, toc_scores
from toc.selection import TOCSelection, optimize

if TYPE_CHECKING:
    from toc.codebooks import FoundCodebook, FoundCodebooks, NamedCodebook, find_codebooks, load_codebook
    from toc.figure import draw_selection
    from toc.selector import TOCSelector

__all__ = [
    "VARIANTS",
    "CodeMerge",
    "CodebookError",
    "FoundCodebook",
    "FoundCodebooks",
    "NamedCodebook",
    "TOCScores",
    "TOCSelection",
    "TOCSelector",
    "best_and_worst_dims",
    "best_dims",
    "codebook_sha256",
    "draw_selection",
    "find_codebooks",
    "load_codebook",
    "merge_codes",
    "optimize",
    "requantize",
    "toc_scores",
]

# scikit-learn takes a second to import and matplotlib half of one; scoring an array needs neither, nor files.
_LAZY = {"TOCSelector": "toc.selector", "draw_selection": "toc.figure"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'toc' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_LAZY.get(name, "toc.codebooks")), name)
