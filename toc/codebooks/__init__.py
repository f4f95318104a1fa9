"""Read codebooks from checkpoints: ours, those of other libraries, and files of NumPy."""

from __future__ import annotations

from toc.codebooks.finding import find_codebooks, load_codebook
from toc.codebooks.found import FoundCodebook, FoundCodebooks, NamedCodebook

__all__ = ["FoundCodebook", "FoundCodebooks", "NamedCodebook", "find_codebooks", "load_codebook"]
