"""Refine or merge the codebooks of a checkpoint and write the results to a folder."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from toc.arrays import CodebookError
from toc.codebooks import FoundCodebooks, NamedCodebook
from toc.figure import draw_merge, draw_selection, mean_similarity
from toc.merging import CodeMerge, merge_codes
from toc.scores import AUTO, VARIANTS
from toc.selection import TOCSelection, optimize

CODEBOOK_NAME, PICTURE_NAME, MERGE_PICTURE = "codebook.npy", "toc.png", "merge.png"
ALL = "all"

_Record = TypeVar("_Record", TOCSelection, CodeMerge)


@dataclass(frozen=True, eq=False)
class Refined:
    """A refined codebook and its files.

    Attributes:
        file: Its `toc.json`.
        selection: Its content.
        before: Mean cosine similarity between two codes in all dimensions; lower is more distinct.
        after: The same in the kept dimensions, less the mean codeword if it was subtracted.
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
        scores = self.selection.scores
        offset = f"offset share {scores.offset_share:.2f}" + (", mean subtracted" if scores.centered else "")
        return f"{self.selection.layer}: {kept}; {offset}; {similarity}; {self.file}"


def refine(
    found: FoundCodebooks,
    folder: str | Path,
    name: str | None = None,
    *,
    n_dims: int | float | str = 0.5,
    lam: float | None = None,
    center: bool | str | None = None,
    variant: str = "corrected",
) -> list[Refined]:
    """Optimize codebooks of a checkpoint and write the results; if one codebook fails, nothing is written.

    Args:
        found: The result of `find_codebooks`.
        folder: Where to write, see `write_outputs`.
        name: Which codebook, see `FoundCodebooks.load`; or `"all"`, each in a folder of its name inside
            `folder`.
        n_dims: See `optimize`.
        lam: See `optimize`. None stands for the value of the variant, or for the default of `optimize`.
        center: See `toc_scores`. None stands for the value of the variant, or for `"auto"`.
        variant: A name in `VARIANTS`.

    Raises:
        CodebookError: As `FoundCodebooks.load`, `optimize` and `write_outputs`; the variant is unknown or has
            another lam or center, or the names of two codebooks give the same folder.
    """
    options = _options(variant, lam=lam, center=center)

    def select(codebook: NamedCodebook) -> TOCSelection:
        return optimize(codebook.vectors, n_dims, **options, layer=codebook.name)

    refined = []
    for target, codebook, selection in _of_each(found, Path(folder), name, select):
        codes = codebook.vectors.astype(np.float64)
        seen = codes - codes.mean(axis=0) if selection.scores.centered else codes
        before, after = mean_similarity(codes), mean_similarity(selection.select(seen))
        refined.append(Refined(write_outputs(target, codebook, selection), selection, before, after))
    return refined


@dataclass(frozen=True, eq=False)
class Merged:
    """The merged codes of a codebook and its files.

    Attributes:
        file: Its `merge.json`.
        merge: Its content.
    """

    file: Path
    merge: CodeMerge

    def to_json(self) -> dict[str, Any]:
        """Plain values: the content of `merge.json`, its path, and what to beware of."""
        return {"merge": str(self.file), "warning": self.merge.warning, **self.merge.to_json()}

    def summary(self) -> str:
        """One line for people."""
        m = self.merge
        return (
            f"{m.layer}: {m.n_codes} codes merged to {m.n_groups}; ratio of merge heights {m.ratio:.2f};"
            f" {m.within:.1%} of the variance within groups; {self.file}"
        )


def merge(
    found: FoundCodebooks,
    folder: str | Path,
    name: str | None = None,
    *,
    n_codes: int | str = AUTO,
    force: bool = False,
) -> list[Merged]:
    """Merge the codes of codebooks of a checkpoint and write the results; if one fails, nothing is written.

    Args:
        found: The result of `find_codebooks`.
        folder: Where to write, see `write_merge`.
        name: As for `refine`. Each codebook has its own groups.
        n_codes: See `merge_codes`.
        force: See `merge_codes`.

    Raises:
        CodebookError: As `FoundCodebooks.load`, `merge_codes` and `write_merge`; or the names of two
            codebooks give the same folder.
    """

    def groups(codebook: NamedCodebook) -> CodeMerge:
        return merge_codes(codebook.vectors, n_codes, force=force, layer=codebook.name)

    return [
        Merged(write_merge(target, codebook, merged), merged)
        for target, codebook, merged in _of_each(found, Path(folder), name, groups)
    ]


def _of_each(
    found: FoundCodebooks, folder: Path, name: str | None, work: Callable[[NamedCodebook], _Record]
) -> list[tuple[Path, NamedCodebook, _Record]]:
    """For each chosen codebook its folder, itself, and what `work` makes of it."""
    names = [codebook.name for codebook in (found.codebooks or found.candidates)] if name == ALL else [name]
    done = []
    for codebook in [found.load(each) for each in names or [None]]:
        try:
            if np.count_nonzero(codebook.vectors.any(axis=1)) < 2:
                raise CodebookError("all codes but at most one are zero; the codebook was never trained")
            target = folder
            if name == ALL:
                target = folder / (re.sub(r"[^\w.-]+", "_", codebook.name).lstrip(".") or "_")
            done.append((target, codebook, work(codebook)))
        except CodebookError as error:
            raise CodebookError(f"{found.path} ({codebook.name}): {error}") from None
    if len({target for target, *_ in done}) < len(done):
        raise CodebookError(f"{found.path}: two codebooks would go to one folder; take them one by one")
    return done


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

    def write(scratch: Path) -> None:
        draw_selection(codebook.vectors, selection, scratch / PICTURE_NAME)
        np.save(scratch / CODEBOOK_NAME, selection.select(codebook.vectors))
        selection.save(scratch)

    return _written(Path(folder), write, (PICTURE_NAME, CODEBOOK_NAME, selection.file_name))


def write_merge(folder: str | Path, codebook: NamedCodebook, merged: CodeMerge) -> Path:
    """Write `merge.json`, `codebook.npy` and the picture `merge.png`, as `write_outputs` does.

    `codebook.npy` is `[K, D]`, the mean codeword of each group in the type of the codebook.

    Returns:
        The path of `merge.json`.

    Raises:
        CodebookError: The codes of another codebook were merged, or the folder cannot be written.
    """

    def write(scratch: Path) -> None:
        draw_merge(merged, scratch / MERGE_PICTURE)
        np.save(scratch / CODEBOOK_NAME, merged.codewords(codebook.vectors))
        merged.save(scratch)

    return _written(Path(folder), write, (MERGE_PICTURE, CODEBOOK_NAME, merged.file_name))


def _written(folder: Path, write: Callable[[Path], None], files: Sequence[str]) -> Path:
    """Files that `write` puts into a scratch folder, moved into place together; the path of the last one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".toc-") as name:
            write(Path(name))
            for file in files:
                (Path(name) / file).replace(folder / file)
    except OSError as error:
        raise CodebookError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / files[-1]


def _options(variant: str, **given: float | bool | str | None) -> dict[str, Any]:
    if variant not in VARIANTS:
        raise CodebookError(f"unknown variant '{variant}'; expected one of {', '.join(VARIANTS)}")
    options = dict(VARIANTS[variant])
    for name, value in given.items():
        if value is not None and options.setdefault(name, value) != value:
            fixed = options[name] if isinstance(options[name], bool) else f"{options[name]:g}"
            raise CodebookError(f"the variant '{variant}' has {name} = {fixed}; leave {name} out")
    return options
