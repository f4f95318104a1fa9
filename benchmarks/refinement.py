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
    toc: Refinement | Sequence[Refinement], codebooks: Mapping[str, Float[Tensor, "_ _"]]
) -> dict[str, TOCSelection]:
    """The selection of each codebook layer, in the order of the layers.

    Raises:
        InputError: A selection was made for another codebook, or a layer has none.
    """
    items = [toc] if isinstance(toc, (str, Path, TOCSelection)) else list(toc)
    selections = {}
    for item in items:
        where = "TOC selection" if isinstance(item, TOCSelection) else item
        try:
            selection = item if isinstance(item, TOCSelection) else TOCSelection.load(item)
        except CodebookError as error:
            raise InputError(str(error)) from None
        layer = selection.layer
        if layer not in codebooks:
            raise InputError(
                f"made for layer '{layer}'", where=where, expected=f"one of {', '.join(codebooks)}"
            )
        if layer in selections:
            raise InputError(
                f"a second selection for layer '{layer}'", where=where, expected="one for each layer"
            )
        try:
            selection.check(codebooks[layer].detach().float().cpu().numpy())
        except CodebookError as error:
            raise InputError(str(error), where=where) from None
        selections[layer] = selection
    missing = [layer for layer in codebooks if layer not in selections]
    if missing:
        raise InputError(
            f"no TOC selection for layer '{missing[0]}'", expected="one for each layer of the codebook"
        )
    return {layer: selections[layer] for layer in codebooks}


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
