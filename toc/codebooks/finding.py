"""From a path to codebooks."""

from __future__ import annotations

import re
from pathlib import Path

from toc.codebooks.checkpoints import Checkpoint, open_checkpoint
from toc.codebooks.conventions import looks_like_codes, recognise
from toc.codebooks.found import FoundCodebook, FoundCodebooks, NamedCodebook, by_key
from toc.codebooks.names import short_names


def find_codebooks(path: str | Path) -> FoundCodebooks:
    """What codebooks a file or folder holds; no more is read than that takes.

    Args:
        path: A native checkpoint, a run, a folder in the layout of Hugging Face, a `.safetensors` file, a
            file of `torch.save` (`.pt`, `.pth`, `.bin`, `.ckpt`), or a NumPy file (`.npy`, `.npz`).

    Raises:
        CodebookError: There is no such file, it is damaged or of another kind, it holds pickled objects, or
            torch is needed to open it and not installed.
    """
    checkpoint = open_checkpoint(Path(path))
    codebooks = _codebooks(checkpoint)
    guesses = [] if codebooks else [i for i in checkpoint.tensors.items() if looks_like_codes(*i)]
    candidates = tuple(found for key, stored in guesses for found in by_key(key, stored))
    return FoundCodebooks(checkpoint.path, checkpoint.kind, codebooks, candidates, checkpoint.tensors)


def load_codebook(path: str | Path, name: str | None = None) -> NamedCodebook:
    """Read one codebook.

    Args:
        path: See `find_codebooks`.
        name: Which one, where there are several, see `FoundCodebooks.load`.

    Raises:
        CodebookError: There is no codebook, or no such name, or several and no name; the message lists them.
    """
    return find_codebooks(path).load(name)


def _codebooks(checkpoint: Checkpoint) -> tuple[FoundCodebook, ...]:
    if checkpoint.declared is not None:
        return tuple(
            FoundCodebook(name, key, "unicode-cmg", checkpoint.tensors[key])
            for name, key in checkpoint.declared.items()
        )
    recognised = recognise(checkpoint.tensors)
    if recognised:
        names = short_names([r.place for r in recognised], [r.head for r in recognised])
        found = [FoundCodebook(n, r.key, r.kind, r.codes) for n, r in zip(names, recognised, strict=True)]
        return tuple(sorted(found, key=lambda f: _counting(f.name)))
    if not checkpoint.arrays:
        return ()
    return tuple(
        found
        for key, stored in checkpoint.tensors.items()
        if stored.floating and len(stored.shape) in (2, 3)
        for found in by_key(key, stored)
    )


def _counting(name: str) -> list[tuple[int, str]]:
    """Orders `layer2` before `layer10`, which files that sort their keys do not."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
