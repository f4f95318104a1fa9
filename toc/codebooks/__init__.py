"""Read codebooks from checkpoints: ours, those of other libraries, and files of NumPy."""

from __future__ import annotations

from toc.codebooks.conventions import FoundCodebook
from toc.codebooks.listing import FoundCodebooks, NamedCodebook, find_codebooks, load_codebook

__all__ = ["FoundCodebook", "FoundCodebooks", "NamedCodebook", "find_codebooks", "load_codebook"]
