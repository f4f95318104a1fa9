"""Match TOC selections with the codebooks of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

from benchmarks.results import TOCSummary
from toc import CodebookError, TOCSelection
from unicode_cmg.errors import InputError

Refinement = str | Path | TOCSelection
"""A `toc.json`, the folder that holds it, or what is in it."""


def match_selections(
    toc: Refinement | Sequence[Refinement],
    codebooks: Mapping[str, Float[Tensor, "_ _"]],
    layers: Sequence[str],
) -> dict[str, TOCSelection]:
    """The selection of each evaluated code layer, in their order.

    Args:
        toc: One for each of `layers`.
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
    items = [toc] if isinstance(toc, (str, Path, TOCSelection)) else list(toc)
    selections = {}
    for item in items:
        where = "TOC selection" if isinstance(item, TOCSelection) else item
        try:
            selection = item if isinstance(item, TOCSelection) else TOCSelection.load(item)
        except CodebookError as error:
            raise InputError(str(error)) from None
        layer = selection.layer
        if layer not in layers:
            raise InputError(f"made for layer '{layer}'", where=where, expected=f"one of {', '.join(layers)}")
        if layer in selections:
            raise InputError(
                f"a second selection for layer '{layer}'", where=where, expected="one for each layer"
            )
        try:
            selection.check(codebooks[layer].detach().float().cpu().numpy())
        except CodebookError as error:
            raise InputError(str(error), where=where) from None
        selections[layer] = selection
    for layer in layers:
        if layer not in selections:
            raise InputError(
                f"no TOC selection for layer '{layer}'", expected="one for each layer that heads see"
            )
    return {layer: selections[layer] for layer in layers}


def kept_dims(selection: TOCSelection) -> Int64[np.ndarray, " kept"]:
    """Kept dimensions in the order of the codebook, so that keeping all of them changes nothing."""
    return np.flatnonzero(selection.mask).astype(np.int64)


def summary(selection: TOCSelection) -> TOCSummary:
    return TOCSummary(
        layer=selection.layer,
        kept=len(selection.indices),
        n_dims=selection.n_dims,
        lam=selection.lam,
        variant=selection.variant,
        codebook_sha256=selection.codebook_sha256,
    )
