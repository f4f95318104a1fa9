"""Commands that refine a codebook after training: `toc` and `toc merge`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unicode_cmg import console
from unicode_cmg.commands.options import AsJson
from unicode_cmg.errors import InputError

if TYPE_CHECKING:
    from toc.outputs import Merged, Refined

CodebookFile = Annotated[
    Path, typer.Argument(help="Folder of a model or a run, or a .safetensors, .pt, .npy or .npz file.")
]


def toc(
    checkpoint: CodebookFile,
    to: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="none, which needs --list")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Dimensions to keep: a number such as 128, a fraction such as 0.5, or auto.")
    ] = "0.5",
    lam: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Weight of the variance against the similarity.",
            show_default="0.3, or that of the variant",
        ),
    ] = None,
    variant: Annotated[
        str,
        typer.Option(
            metavar="corrected|paper|released|...",
            help="Definition of the scores: ours, the papers' or the released code's; the last two never"
            " subtract the mean.",
        ),
    ] = "corrected",
    center: Annotated[
        Literal["auto", "true", "false"] | None,
        typer.Option(
            help="Score the codebook less its mean codeword; auto: if its offset share is above 0.2.",
            show_default="auto, or that of the variant",
        ),
    ] = None,
    codebook: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Codebook to refine, or all.", show_default="the only one"),
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="List the codebooks and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Refine a codebook without training.

    Keeps the dimensions that tell its codes apart; writes toc.json, codebook.npy and toc.png. To merge codes
    instead, see toc merge.
    """
    from toc import CodebookError, find_codebooks
    from toc.outputs import ALL, refine

    try:
        found = find_codebooks(checkpoint)
        if list_only:
            console.finish(found.to_json(), found.table(), as_json)
            return
        if to is None:
            raise InputError("--to is missing", expected="a folder to write", fix="only --list needs none")
        amount = dimensions_in(keep)
        centered = {"true": True, "false": False}.get(center or "", center)
        refined = refine(found, to, codebook, n_dims=amount, lam=lam, center=centered, variant=variant)
    except CodebookError as error:
        raise InputError(str(error)) from error
    _finish(refined, codebook == ALL, as_json)


def toc_merge(
    checkpoint: CodebookFile,
    to: Annotated[Path, typer.Option(help="Folder to write.")],
    codes: Annotated[
        str,
        typer.Option(
            metavar="K|auto",
            help="Number of codes to keep; auto: where the ratio of successive merge heights is largest.",
        ),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Accept groups that are not well separated, with a warning.")
    ] = False,
    codebook: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Codebook to merge, or all.", show_default="the only one"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Merge codes that mean the same, without training.

    Clusters the codewords by Ward's method; writes merge.json, codebook.npy and merge.png.
    """
    from toc import CodebookError, find_codebooks
    from toc.outputs import ALL, merge

    try:
        amount: int | str = int(codes) if codes.isdecimal() else codes
        merged = merge(find_codebooks(checkpoint), to, codebook, n_codes=amount, force=force)
    except CodebookError as error:
        raise InputError(str(error)) from error
    for each in merged:
        if each.merge.warning is not None:
            console.say(f"warning: {each.merge.warning}")
    _finish(merged, codebook == ALL, as_json)


def _finish(written: Sequence[Refined | Merged], several: bool, as_json: bool) -> None:
    values = [each.to_json() for each in written]
    text = "\n".join(each.summary() for each in written)
    console.finish({"codebooks": values} if several else values[0], text, as_json)


def dimensions_in(text: str) -> int | float | Literal["auto"]:
    """`128` is a number of dimensions, `0.5` a fraction of them, and `auto` lets TOC decide.

    Raises:
        InputError: It is something else.
    """
    if text == "auto":
        return "auto"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise InputError(
            f"cannot read '{text}'", where="--keep", expected="a number such as 128 or 0.5, or auto"
        ) from None
