"""Options that several commands have, and how they are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unicode_cmg.errors import InputError

if TYPE_CHECKING:
    from unicode_cmg.model import Model

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on stdout, and nothing else there.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]
Checkpoint = Annotated[
    Path, typer.Argument(help="Folder of a model, a checkpoint or a run, or a released .pt file.")
]
Features = Annotated[Path, typer.Argument(help="Folder of a feature store.")]
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code", help="Import and run what the configuration names as package.module:callable."
    ),
]
Level = Annotated[
    str | None,
    typer.Option(
        help="Temporal resolution of the codes, such as clip, if the model offers several.",
        show_default="that of the model",
    ),
]
Shard = Annotated[
    str, typer.Option(metavar="I/N", help="Only the I-th of N parts of the clips, I from 0 on.")
]
Engine = Annotated[Literal["local", "ray"], typer.Option(help="local: this process; ray: Ray Data.")]
Merge = Annotated[
    list[str] | None,
    typer.Option(
        "--merge",
        metavar="FILE|auto",
        help="merge.json of a code layer, can be repeated; auto: merge the codes of each code layer now.",
        show_default="all codes",
    ),
]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def shard_in(text: str) -> tuple[int, int]:
    """The shard in a text such as "3/8".

    Raises:
        InputError: It holds something else.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None:
        raise InputError(f"'{text}'", where="--shard", expected="I/N, such as 0/8")
    return int(found[1]), int(found[2])


def load_model(checkpoint: Path, merge: list[str] | None = None) -> Model:
    """The model, on the GPU if there is one, with its codes merged if asked to."""
    from unicode_cmg.checkpoints import best_device, load_pretrained

    model = load_pretrained(checkpoint, map_location=best_device())
    if not merge:
        return model
    from benchmarks.refinement import MergedModel

    return MergedModel(model, files_or_auto(merge) or ())


def files_or_auto(values: list[str] | None) -> Literal["auto"] | list[str] | None:
    """Files of a refinement, or "auto" alone."""
    return "auto" if values == ["auto"] else values or None
