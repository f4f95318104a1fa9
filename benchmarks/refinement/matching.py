"""Which TOC selection and which merged codes belong to each code layer of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from toc import CodebookError, CodeMerge, TOCSelection, merge_codes, optimize
from unicode_cmg.errors import InputError

Selection = str | Path | TOCSelection
"""A `toc.json`, the folder that holds it, or what is in it."""

Merge = str | Path | CodeMerge
"""A `merge.json`, the folder that holds it, or what is in it."""

RecordT = TypeVar("RecordT", TOCSelection, CodeMerge)


def match_selections(
    toc: Selection | Sequence[Selection],
    codebooks: Mapping[str, Float[Tensor, "_ _"]],
    code_layers: Sequence[str],
) -> dict[str, TOCSelection]:
    """The selection of each evaluated code layer, in their order.

    Args:
        toc: One for each of `code_layers`, or `"auto"` to select here, as many dimensions as TOC finds right.
        codebooks: The codebooks of the model.
        code_layers: The code layers that heads will see.

    Raises:
        InputError: A selection was made for another codebook, a code layer has none, or it has no codebook.
    """
    for layer in code_layers:
        if layer not in codebooks:
            raise InputError(
                f"the code layer '{layer}' has no codebook, and TOC refines codebooks",
                expected=f"code layers with a codebook: {', '.join(codebooks)}" if codebooks else None,
                fix="evaluate it without a TOC selection",
            )
    books = {layer: codebook_array(codebooks[layer]) for layer in code_layers}
    if toc == "auto":
        return _of_each(books, lambda layer, book: optimize(book, "auto", layer=layer))
    given = [toc] if isinstance(toc, Selection) else toc
    selections = _matched(given, books, TOCSelection, "TOC selection")
    for layer in code_layers:
        if layer not in selections:
            raise InputError(f"no TOC selection for code layer '{layer}'", expected="one for each")
    return selections


def match_merges(
    merge: Merge | Sequence[Merge],
    codebooks: Mapping[str, Float[Tensor, "_ _"]],
    code_layers: Sequence[str],
) -> dict[str, CodeMerge]:
    """The groups of code layers, in their order; a code layer without a merge keeps its codes.

    Args:
        merge: Some of `code_layers`, or `"auto"` to merge the codes of all of them here, see `merge_codes`.
        codebooks: The codebooks of the model.
        code_layers: The code layers that are used.

    Raises:
        InputError: The codes of another codebook were merged, a code layer is merged twice, is not used or
            has no codebook; or with `"auto"` an elbow is weak.
    """
    books = {layer: codebook_array(codebooks[layer]) for layer in code_layers if layer in codebooks}
    if merge == "auto":
        for layer in code_layers:
            if layer not in books:
                raise InputError(
                    f"the code layer '{layer}' has no codebook whose codes could be merged",
                    fix="leave it out",
                )
        return _of_each(books, lambda layer, book: merge_codes(book, layer=layer))
    return _matched([merge] if isinstance(merge, Merge) else merge, books, CodeMerge, "merged codes")


def _of_each(
    books: Mapping[str, Float[ndarray, "_ _"]], make: Callable[[str, Float[ndarray, "_ _"]], RecordT]
) -> dict[str, RecordT]:
    made = {}
    for layer, book in books.items():
        with codebook_errors(f"code layer {layer}"):
            made[layer] = make(layer, book)
    return made


def _matched(
    given: Sequence[str | Path | RecordT],
    books: Mapping[str, Float[ndarray, "_ _"]],
    kind: type[RecordT],
    what: str,
) -> dict[str, RecordT]:
    """Records, read and checked against the codebooks, in the order of these."""
    found: dict[str, RecordT] = {}
    for item in given:
        where = item if isinstance(item, str | Path) else what
        with codebook_errors(None):
            record = kind.load(item) if isinstance(item, str | Path) else item
        layer = record.layer
        if layer not in books:
            raise InputError(
                f"made for code layer '{layer}'", where=where, expected=f"one of {', '.join(books)}"
            )
        if layer in found:
            raise InputError(f"a second one for code layer '{layer}'", where=where, expected="one for each")
        with codebook_errors(where):
            record.check(books[layer])
        found[layer] = record
    return {layer: found[layer] for layer in books if layer in found}


def codebook_array(codebook: Float[Tensor, "codes dim"]) -> Float[ndarray, "codes dim"]:
    """A codebook as TOC takes it."""
    return codebook.detach().float().cpu().numpy()


@contextmanager
def codebook_errors(where: object | None) -> Iterator[None]:
    """Turn what TOC says of a codebook or a selection into an `InputError`."""
    try:
        yield
    except CodebookError as error:
        raise InputError(str(error), where=where) from None
