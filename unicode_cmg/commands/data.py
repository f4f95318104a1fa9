"""Commands on feature stores: `unicode-cmg data import`, `info`, `check`, `export` and `digits`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from unicode_cmg import console
from unicode_cmg.commands.options import AsJson, Features, Seed
from unicode_cmg.console import names_in, pairs_in
from unicode_cmg.errors import InputError

app = typer.Typer(no_args_is_help=True)


@app.command()
def digits(
    to: Annotated[Path, typer.Option(help="Folder to write.")],
    recipe: Annotated[
        Literal["default", "hard", "reference"],
        typer.Option(
            help="How clips are drawn; hard: two digits a class, short events, distractors and noise;"
            " reference: the clips on which the released code was run."
        ),
    ] = "default",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Write the embedded data set of spoken and handwritten digits."""
    from unicode_cmg.data.digits import write_digits

    manifest = write_digits(to, recipe=recipe, seed=seed)
    clips = ", ".join(f"{count} {split}" for split, count in manifest["clips"].items())
    console.finish({"to": str(to), **manifest}, f"{to}: {clips} clips", as_json)


@app.command("import", short_help="Write a feature store from files that you have.")
def import_data(
    source: Annotated[
        Path,
        typer.Argument(
            help="A file or folder of arrays (npy, npz, HDF5, pt, pickle, safetensors, Parquet), a saved data"
            " set, or a published layout."
        ),
    ],
    to: Annotated[Path, typer.Option(help="Feature store to write.")],
    modality: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KEY",
            help="Modality and its key, column, file or folder; can be repeated.",
            show_default="all arrays of floats",
        ),
    ] = None,
    ids: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key of the clip ids.", show_default="by its name")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Table with labels, splits and the like, a row for each clip.",
            show_default="the csv beside the features",
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of that table with the ids.", show_default="by its name"),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS|NAME=STEPS,...",
            help="Bring all modalities, or those named, to so many steps by pooling or repetition.",
            show_default="steps as they are",
        ),
    ] = None,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=AXES",
            help="Order of the axes of a clip: T steps, C channels, H height, W width; can be repeated.",
            show_default="TC or THWC",
        ),
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32", "float64"] | None,
        typer.Option(help="Type of the values on disk.", show_default="as in the source"),
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add clips, do not replace the store.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a feature store from files that you have.

    What you do not say is guessed from names, types and shapes; the guesses are printed.
    """
    from unicode_cmg.data.importing import import_features

    imported = import_features(
        source,
        to,
        modalities=pairs_in(modality or [], "--modality"),
        ids=ids,
        table=labels,
        id_column=id_column,
        align_to=_steps_in(align),
        axes=pairs_in(axes or [], "--axes"),
        dtype=dtype,
        append=append,
    )
    console.finish(imported.to_json(), imported.text(), as_json)


@app.command(short_help="Show what is in a feature store.")
def info(features: Features, as_json: AsJson = False) -> None:
    """Show what is in a feature store: clips, modalities, shapes, labels, origin."""
    from unicode_cmg.data.store_summary import store_summary

    summary = store_summary(features)
    console.finish(summary.to_json(), summary.text(), as_json)


@app.command(short_help="Write a feature store as Parquet files, or as a published data set.")
def export(
    features: Features,
    to: Annotated[Path, typer.Option(help="Folder to write; of a layout, the folder of the data set.")],
    layout: Annotated[
        str,
        typer.Option(
            metavar="parquet|ave|avvp|clotho|mscoco|ucf101|vggsound-avel",
            help="parquet, or the layout of a published data set.",
        ),
    ] = "parquet",
    as_json: AsJson = False,
) -> None:
    """Write a feature store as Parquet files with a data-set card, or in the layout of a published data set.

    `datasets.load_dataset` of the library datasets reads the Parquet files, and so does `unicode-cmg data
    import`. Tasks read the published layouts.
    """
    if layout == "parquet":
        from unicode_cmg.data.export import export_store

        written = export_store(features, to)
        files = len(written["files"])
        told = f"{to}: {written['clips']} clips in {files} file{'s' if files > 1 else ''}"
    else:
        from unicode_cmg.data.layouts.from_store import write_published

        written = write_published(features, to, layout)
        told = "\n".join(f"{to / name}: {count} clips" for name, count in written.items())
    console.finish(written, told, as_json)


@app.command(short_help="Check a data set or a feature store before training.")
def check(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK|STORE", help="Task, such as ave, avvp or clotho; or a feature store."),
    ],
    root: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of the data set of the task, or the folder that contains it.", show_default=False
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Read the features of every clip instead of a sample.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a data set or a feature store before training: present, missing, damaged or duplicate files.

    Prints correct files, notes and problems. The exit code is 2 if there is a problem.
    """
    from unicode_cmg.data.check import check_data, check_feature_store

    report = check_feature_store(task, every=every) if root is None else check_data(task, root, every=every)
    console.finish(report.to_json(), report.text(), as_json)
    if not report.usable:
        raise typer.Exit(2)


def _steps_in(text: str | None) -> int | dict[str, int] | None:
    """The steps in a text such as "10" or "audio=10,video=10".

    Raises:
        InputError: It holds something else.
    """
    if text is None or text.strip().isdecimal():
        return None if text is None else int(text)
    pairs = pairs_in(names_in(text), "--align")
    for name, value in pairs.items():
        if not value.isdecimal():
            raise InputError(f"'{name}={value}'", where="--align", expected="a number of steps, such as 10")
    return {name: int(value) for name, value in pairs.items()}
