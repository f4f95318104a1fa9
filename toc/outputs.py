"""Refine the codebooks of a checkpoint and write the results to a folder."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toc.arrays import CodebookError
from toc.codebooks import FoundCodebooks, NamedCodebook
from toc.figure import draw_selection, mean_similarity
from toc.scores import VARIANTS
from toc.selection import FILE_NAME, TOCSelection, optimize

CODEBOOK_NAME, PICTURE_NAME = "codebook.npy", "toc.png"
ALL = "all"


@dataclass(frozen=True, eq=False)
class Refined:
    """A refined codebook and its files.

    Attributes:
        file: Its `toc.json`.
        selection: Its content.
        before: Mean cosine similarity between two codes in all dimensions; lower is more distinct.
        after: The same in the kept dimensions.
    """

    file: Path
    selection: TOCSelection
    before: float
    after: float

    def to_json(self) -> dict[str, Any]:
        """Plain values: the content of `toc.json`, its path, and the similarities."""
        similarity = {"before": self.before, "after": self.after}
        return {"toc": str(self.file), "mean_similarity": similarity, **self.selection.to_json()}

    def summary(self) -> str:
        """One line for people."""
        kept = f"{len(self.selection.indices)} of {self.selection.n_dims} dimensions kept"
        similarity = f"mean cosine similarity of codes {self.before:z.3f} before, {self.after:z.3f} after"
        return f"{self.selection.layer}: {kept}; {similarity}; {self.file}"


def refine(
    found: FoundCodebooks,
    folder: str | Path,
    name: str | None = None,
    *,
    n_dims: int | float | str = 0.5,
    lam: float | None = None,
    variant: str = "paper",
) -> list[Refined]:
    """Optimize codebooks of a checkpoint and write the results; if one codebook fails, nothing is written.

    Args:
        found: The result of `find_codebooks`.
        folder: Where to write, see `write_outputs`.
        name: Which codebook, see `FoundCodebooks.load`; or `"all"`, each in a folder of its name inside
            `folder`.
        n_dims: See `optimize`.
        lam: See `optimize`. None stands for the value of the variant, or for the default of `optimize`.
        variant: A name in `VARIANTS`.

    Raises:
        CodebookError: As `FoundCodebooks.load`, `optimize` and `write_outputs`; the variant is unknown or has
            another lam, or the names of two codebooks give the same folder.
    """
    folder, options = Path(folder), _options(lam, variant)
    names = [codebook.name for codebook in found.codebooks] if name == ALL else [name]
    work = []
    for codebook in [found.load(each) for each in names or [None]]:
        try:
            if np.count_nonzero(codebook.vectors.any(axis=1)) < 2:
                raise CodebookError("all codes but at most one are zero; the codebook was never trained")
            work.append((codebook, optimize(codebook.vectors, n_dims, **options, layer=codebook.name)))
        except CodebookError as error:
            raise CodebookError(f"{found.path} ({codebook.name}): {error}") from None
    folders = [folder] * len(work)
    if name == ALL:
        folders = [folder / (re.sub(r"[^\w.-]+", "_", c.name).lstrip(".") or "_") for c, _ in work]
    if len(set(folders)) < len(folders):
        raise CodebookError(f"{found.path}: two codebooks would go to one folder; refine them one by one")
    refined = []
    for target, (codebook, selection) in zip(folders, work, strict=True):
        codes = codebook.vectors.astype(np.float64)
        before, after = mean_similarity(codes), mean_similarity(selection.select(codes))
        refined.append(Refined(write_outputs(target, codebook, selection), selection, before, after))
    return refined


def write_outputs(folder: str | Path, codebook: NamedCodebook, selection: TOCSelection) -> Path:
    """Write `toc.json`, `codebook.npy` and the picture `toc.png`.

    `codebook.npy` is `[H, kept]` in the type of the codebook: its columns are the kept dimensions in the
    order of `indices` in `toc.json`, best first. The files are written to a scratch folder and moved into
    place at the end, so a failure leaves earlier files unchanged.

    Returns:
        The path of `toc.json`.

    Raises:
        CodebookError: The selection was made for another codebook, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".toc-") as name:
            scratch = Path(name)
            draw_selection(codebook.vectors, selection, scratch / PICTURE_NAME)
            np.save(scratch / CODEBOOK_NAME, selection.select(codebook.vectors))
            selection.save(scratch)
            for file in (PICTURE_NAME, CODEBOOK_NAME, FILE_NAME):
                (scratch / file).replace(folder / file)
    except OSError as error:
        raise CodebookError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / FILE_NAME


def _options(lam: float | None, variant: str) -> dict[str, Any]:
    if variant not in VARIANTS:
        raise CodebookError(f"unknown variant '{variant}'; expected one of {', '.join(VARIANTS)}")
    options = dict(VARIANTS[variant])
    if lam is None:
        return options
    if options.setdefault("lam", lam) != lam:
        raise CodebookError(f"the variant '{variant}' has lam = {options['lam']:g}; leave lam out")
    return options
