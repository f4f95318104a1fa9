"""Match TOC selections with the codebooks of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from benchmarks.refinement.views import KeptDims, Requantized
from toc import CodebookError, TOCSelection, optimize
from unicode_cmg.errors import InputError
from unicode_cmg.results import TOCSummary

Refinement = str | Path | TOCSelection
"""A `toc.json`, the folder that holds it, or what is in it."""

Use = Literal["slice", "requantize"]
"""Look at the kept dimensions of the codes as they are, or choose the codes anew in these dimensions."""

AUTO = "auto"


def match_selections(
    toc: Refinement | Sequence[Refinement],
    codebooks: Mapping[str, Float[Tensor, "_ _"]],
    layers: Sequence[str],
) -> dict[str, TOCSelection]:
    """The selection of each evaluated code layer, in their order.

    Args:
        toc: One for each of `layers`, or `"auto"` to select here, as many dimensions as TOC finds right.
        codebooks: The codebooks of the model.
        layers: The code layers that heads will see.

    Raises:
        InputError: A selection was made for another codebook, a layer has none, or a layer has no codebook.
    """
    for layer in layers:
        if layer not in codebooks:
            raise InputError(
                f"the code layer '{layer}' has no codebook, and TOC refines codebooks",
                expected=f"layers with a codebook: {', '.join(codebooks)}" if codebooks else None,
                fix="evaluate it without a TOC selection",
            )
    books = {layer: codebooks[layer].detach().float().cpu().numpy() for layer in layers}
    if toc == AUTO:
        return {layer: _optimized(book, layer) for layer, book in books.items()}
    items = [toc] if isinstance(toc, (str, Path, TOCSelection)) else list(toc)
    selections = _by_layer(items, books)
    for layer in layers:
        if layer not in selections:
            raise InputError(
                f"no TOC selection for layer '{layer}'", expected="one for each layer that heads see"
            )
    return {layer: selections[layer] for layer in layers}


def _by_layer(
    items: Iterable[Refinement], books: Mapping[str, Float[np.ndarray, "_ _"]]
) -> dict[str, TOCSelection]:
    selections: dict[str, TOCSelection] = {}
    for item in items:
        where = "TOC selection" if isinstance(item, TOCSelection) else item
        try:
            selection = item if isinstance(item, TOCSelection) else TOCSelection.load(item)
        except CodebookError as error:
            raise InputError(str(error)) from None
        layer = selection.layer
        if layer not in books:
            raise InputError(f"made for layer '{layer}'", where=where, expected=f"one of {', '.join(books)}")
        if layer in selections:
            raise InputError(
                f"a second selection for layer '{layer}'", where=where, expected="one for each layer"
            )
        try:
            selection.check(books[layer])
        except CodebookError as error:
            raise InputError(str(error), where=where) from None
        selections[layer] = selection
    return selections


def _optimized(codebook: Float[np.ndarray, "codes dim"], layer: str) -> TOCSelection:
    try:
        return optimize(codebook, AUTO, layer=layer)
    except CodebookError as error:
        raise InputError(str(error), where=f"code layer {layer}") from None


def view_of(selection: TOCSelection, use: Use, codebook: Float[Tensor, "codes dim"]) -> KeptDims:
    """What heads see of a layer through a selection."""
    dims = np.flatnonzero(selection.mask).astype(np.int64)
    return KeptDims(dims) if use == "slice" else Requantized(dims, codebook.detach())


def summary(selection: TOCSelection, use: Use) -> TOCSummary:
    return TOCSummary(
        code_layer=selection.layer,
        kept=len(selection.indices),
        n_dims=selection.n_dims,
        lam=selection.lam,
        variant=selection.variant,
        codebook_sha256=selection.codebook_sha256,
        use=use,
    )
