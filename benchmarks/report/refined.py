"""The section about TOC: what it kept, and what that does to the similarity between codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from benchmarks.report.svg import inline_svg
from toc import CodebookError, TOCSelection, draw_selection, load_codebook
from toc.figure import mean_similarity


@dataclass(frozen=True)
class RefinedView:
    """A sentence, and the figure; None where the codebook is gone or another one."""

    sentence: str
    svg: Markup | None


def refined_view(selection: TOCSelection, run: Path) -> RefinedView:
    """What a selection does to the codebook of a run."""
    counts = f"{len(selection.indices)} of {selection.n_dims} dimensions"
    kept = f"TOC keeps {counts}, those that tell the codes apart best"
    try:
        codebook = load_codebook(run, selection.layer).vectors
        selection.check(codebook)
    except CodebookError as error:
        return RefinedView(f"{kept}. No picture: {error}.", None)
    before, after = mean_similarity(codebook), mean_similarity(selection.select(codebook))
    sentence = (
        f"{kept}: the mean cosine similarity between two codes goes from {before:.3f} to {after:.3f}. "
        "Nothing was trained for it, and which code a step gets does not change; the classifiers see fewer "
        "dimensions."
    )
    return RefinedView(sentence, inline_svg(draw_selection(codebook, selection), "TOC: " + sentence))
