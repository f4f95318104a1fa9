"""Training-free optimization of a codebook (TOC): keep the dimensions that tell its codes apart.

>>> import numpy as np
>>> from toc import optimize
>>> codebook = np.random.default_rng(0).normal(size=(400, 256))
>>> len(optimize(codebook, n_dims=128).indices)
128
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toc.codebooks import NamedCodebook, load_codebook
from toc.errors import CodebookError
from toc.ranking import best_and_worst_dims, best_dims
from toc.scores import VARIANTS, TOCScores, toc_scores
from toc.selection import TOCSelection, codebook_sha256, optimize

if TYPE_CHECKING:
    from toc.figure import draw_selection as draw_selection
    from toc.selector import TOCSelector as TOCSelector

__all__ = [
    "VARIANTS",
    "CodebookError",
    "NamedCodebook",
    "TOCScores",
    "TOCSelection",
    "TOCSelector",
    "best_and_worst_dims",
    "best_dims",
    "codebook_sha256",
    "draw_selection",
    "load_codebook",
    "optimize",
    "toc_scores",
]

# scikit-learn takes a second to import and matplotlib half of one; scoring a codebook needs neither.
_LAZY = {"TOCSelector": "toc.selector", "draw_selection": "toc.figure"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'toc' has no attribute '{name}'")
