"""The command line `unicode-cmg`: one function per command, which only declares options.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done; 2 the user's input is wrong, or no
command was given and the help is shown; 3 `pretrain --strict` gave a bad verdict; 130 or 143 stopped by
Ctrl-C or SIGTERM; 141 the reader of our output has gone; 1 a fault of ours, with a traceback.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from unicode_cmg import console
from unicode_cmg.errors import InputError

if TYPE_CHECKING:
    from unicode_cmg.model import Model


class _Commands(TyperGroup):
    """Commands whose names may have two words, such as `toc merge` beside `toc`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        both = " ".join(args[:2])
        return super().resolve_command(ctx, [both, *args[2:]] if both in self.commands else args)


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
data_app = typer.Typer(no_args_is_help=True)
app.add_typer(data_app, name="data", help="Import, show, check and export features; write embedded data.")

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


def _print_version(asked: bool) -> None:
    if asked:
        from unicode_cmg import __version__

        print(f"unicode-cmg {__version__}")
        raise typer.Exit


@app.callback()
def unicode_cmg(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Unified multimodal codebooks: pretrain, refine without training, measure cross-modal generalization."""
    from unicode_cmg.siblings import import_siblings

    import_siblings("toc", "benchmarks")


@app.command(short_help="Pretrain, refine, evaluate and report on embedded data.")
def quickstart(
    to: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/quickstart"),
    seed: Seed = 0,
    resume: Annotated[
        Literal["auto", "never"],
        typer.Option(help="auto: resume the run in the folder, if any; never: refuse a folder with a run."),
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Run the whole pipeline on embedded data: pretrain, refine, evaluate, report."""
    from benchmarks.quickstart import quickstart as run_quickstart

    outcome = run_quickstart(to, seed, resume=resume, say=console.say)
    text = f"\n{outcome.table}\n\n{outcome.verdict.text}\nreport: {outcome.page}"
    console.finish(outcome.results, text, as_json)


@app.command(short_help="Write a feature store from files of sound, video, images and text.")
def extract(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of media, list of clips (csv, tsv, jsonl, json, Parquet), or saved data set."
        ),
    ],
    to: Annotated[Path, typer.Option(help="Feature store to write, or to continue.")],
    audio: Annotated[
        str | None, typer.Option(metavar="ENCODER", help="Encoder of sound, such as vggish:vggish.pth.")
    ] = None,
    video: Annotated[
        str | None, typer.Option(metavar="ENCODER", help="Encoder of video, such as dinov2:FOLDER.")
    ] = None,
    image: Annotated[str | None, typer.Option(metavar="ENCODER", help="Encoder of images.")] = None,
    text: Annotated[str | None, typer.Option(metavar="ENCODER", help="Encoder of text.")] = None,
    encode: Annotated[
        list[str] | None,
        typer.Option(
            "--encode",
            metavar="NAME=KIND:ENCODER",
            help="Modality of another name, with its kind (audio, video, image or text); can be repeated.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="Recipe, or file with modalities and settings; options go before it.",
        ),
    ] = None,
    steps_per_second: Annotated[
        str | None,
        typer.Option(
            metavar="N|file",
            help="Steps per second of sound and video. file: each file is one step, whatever its length.",
            show_default="1",
        ),
    ] = None,
    seconds: Annotated[
        str | None,
        typer.Option(
            metavar="S|all",
            help="Length of a clip; longer ones are cut, steps after the end of shorter ones are masked. all:"
            " as long as it is.",
            show_default="10",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the paths of a list are relative to and may not leave.",
            show_default="that of the list",
        ),
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(help="Type of the features in the store.", show_default="float32"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoders at a time.", show_default="one per core, at most 8")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of clips per batch.")] = 16,
    device: Annotated[str, typer.Option(help="Where encoders compute: cpu, cuda, or auto.")] = "auto",
    shard: Shard = "0/1",
    engine: Engine = "local",
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop with exit code 2 at the first file that is broken.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a feature store from files of sound, video, images and text.

    Files with the same stem, such as X.mp4 and X.txt, are one clip. If it is interrupted, run the same
    command again to resume. Broken files are skipped and listed in broken.csv in the store.
    """
    from unicode_cmg.extract.settings import ExtractSettings, encoders_in

    encoders = console.given(audio=audio, video=video, image=image, text=text)
    others = encoders_in(console.pairs_in(encode or [], "--encode"))
    options = console.given(steps_per_second=steps_per_second, seconds=seconds, dtype=dtype)
    settings = ExtractSettings.load(config).changed(
        options, {**{name: (name, encoder) for name, encoder in encoders.items()}, **others}
    )
    extracted = settings.extract(
        source,
        to,
        root=root,
        workers=workers,
        batch_size=batch_size,
        device=device,
        shard=console.shard_in(shard),
        engine=engine,
        strict=strict,
        progress=None,
    )
    console.finish(extracted.to_json(), extracted.text(), as_json)


@data_app.command()
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


@data_app.command("import", short_help="Write a feature store from files that you have.")
def import_data(
    source: Annotated[
        Path,
        typer.Argument(
            help="An .npz, HDF5 or Parquet file, a folder of .npy files, a data set, or a published layout."
        ),
    ],
    to: Annotated[Path, typer.Option(help="Feature store to write.")],
    modality: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KEY",
            help="Modality and its key, column or folder in the source; can be repeated.",
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
            show_default="clips.csv, labels.csv or metadata.csv beside the features",
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

    steps = console.steps_in(align)
    imported = import_features(
        source,
        to,
        modalities=console.pairs_in(modality or [], "--modality"),
        ids=ids,
        table=labels,
        id_column=id_column,
        align_to=steps,
        dtype=dtype,
        append=append,
    )
    console.finish(imported.to_json(), imported.text(), as_json)


@data_app.command(short_help="Show what is in a feature store.")
def info(features: Features, as_json: AsJson = False) -> None:
    """Show what is in a feature store: clips, modalities, shapes, labels, origin."""
    from unicode_cmg.data.store_summary import store_summary

    summary = store_summary(features)
    console.finish(summary.to_json(), summary.text(), as_json)


@data_app.command(short_help="Write a feature store as Parquet files, or as a published data set.")
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
        told = f"{to}: {written['clips']} clips in {len(written['files'])} files"
    else:
        from unicode_cmg.data.layouts.from_store import write_published

        written = write_published(features, to, layout)
        told = "\n".join(f"{to / name}: {count} clips" for name, count in written.items())
    console.finish(written, told, as_json)


@data_app.command(short_help="Check a data set or a feature store before training.")
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


@app.command(short_help="Print a configuration that fits a feature store.")
def init(
    features: Features,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="dcid|hdcid|fcid",
            help="Method.",
            show_default="dcid; fcid if modalities differ in their steps",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a configuration that fits a feature store, with comments.

    Widths, grids, codes, batch size, epochs and warm-up follow from the clips; pretrain runs it unchanged.
    """
    import yaml

    from unicode_cmg.training.fitted_config import fitted_config

    text = fitted_config(features, method)
    console.finish(yaml.safe_load(text), text.rstrip(), as_json)


@app.command()
def pretrain(
    config: Annotated[
        Path,
        typer.Argument(
            help="Configuration: a YAML file, such as init prints, or dcid, hdcid or fcid for the sizes of"
            " the papers."
        ),
    ],
    to: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/ and the name of the file")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="A.B=C", help="Change a setting; can be repeated.", show_default="no change"
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with 3 if the verdict on the run is bad; it is saved all the same."
        ),
    ] = False,
    resume: Annotated[
        str,
        typer.Option(
            metavar="auto|never|RUN",
            help="auto: resume the run in the folder, if any; never: refuse a folder with a run;"
            " RUN: continue from the newest checkpoint of another run.",
        ),
    ] = "auto",
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """Pretrain a unified codebook.

    If it is interrupted, run the same command again to resume.
    """
    from unicode_cmg.training import PretrainConfig, fit

    parsed = PretrainConfig.load(config, settings or [])
    start: Any = resume if resume in ("auto", "never") else Path(resume)
    result = fit(parsed, to or Path("runs") / config.stem, resume=start, trust_code=trust_code)
    console.finish(
        {
            "run": str(result.run),
            "model": str(result.model),
            "steps": result.steps,
            "seconds": result.seconds,
            "last": result.last,
            "verdict": result.verdict.to_json(),
        },
        f"{result.steps} steps in {result.seconds:.0f} s\nmodel: {result.model}\n{result.verdict.text}",
        as_json,
    )
    if strict and not result.verdict.healthy:
        console.say(f"--strict: the verdict is bad; the model is saved all the same in {result.model}")
        raise typer.Exit(3)


@app.command()
def toc(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="Folder of a model or a run, or a .safetensors, .pt, .npy or .npz file."),
    ],
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
        amount = console.dimensions_in(keep)
        centered = {"true": True, "false": False}.get(center or "", center)
        refined = refine(found, to, codebook, n_dims=amount, lam=lam, center=centered, variant=variant)
    except CodebookError as error:
        raise InputError(str(error)) from error
    values = [each.to_json() for each in refined]
    console.finish(
        {"codebooks": values} if codebook == ALL else values[0],
        "\n".join(each.summary() for each in refined),
        as_json,
    )


@app.command("toc merge")
def toc_merge(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="Folder of a model or a run, or a .safetensors, .pt, .npy or .npz file."),
    ],
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
    values = [each.to_json() for each in merged]
    console.finish(
        {"codebooks": values} if codebook == ALL else values[0],
        "\n".join(each.summary() for each in merged),
        as_json,
    )


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    task: Annotated[
        str,
        typer.Option(
            metavar="labels|zero-shot|ave|avvp|ave-avvp|ucf-vgg|retrieval|...|all",
            help="Task; labels takes labels of your own; all stands for every task whose data are present.",
        ),
    ],
    data: Annotated[
        Path, typer.Option(help="Folder of the data sets; of labels, the folder of a feature store.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Of labels: table with a row for each clip.",
            show_default="the columns of the store",
        ),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Of zero-shot and retrieval in a store: feature store of prompts, or of further captions.",
            show_default="none",
        ),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|NAMES",
            help="Of labels: column of the labels, or several columns of 0 and 1, separated by commas.",
            show_default="label",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="class|classes|steps|number",
            help="Of labels: one class or several classes per clip, one class per step, or a number.",
            show_default="as the values look",
        ),
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(
            help="Of labels: column with train, val or test.",
            show_default="split, if there is one; else drawn",
        ),
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Of labels: column of groups that stay in one split.", show_default="group, if there is one"
        ),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Of labels: column of the clip ids in the table.", show_default="id")
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(min=0, help="Of labels: seed of drawn splits.", show_default="0")
    ] = None,
    toc_files: Annotated[
        list[str] | None,
        typer.Option(
            "--toc",
            metavar="FILE|auto",
            help="toc.json of a code layer that the heads use, can be repeated; auto: refine the codebooks"
            " now.",
            show_default="all dimensions",
        ),
    ] = None,
    toc_use: Annotated[
        Literal["slice", "requantize"],
        typer.Option(
            help="slice: use the kept dimensions of the codes; requantize: choose the codes again in the kept"
            " dimensions."
        ),
    ] = "slice",
    merge: Merge = None,
    code_layers: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Code layers that the heads use, separated by commas, such as layer0,layer1.",
            show_default="all",
        ),
    ] = None,
    level: Level = None,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="held-out|paper|paper-f1|...|all",
            autocompletion=lambda: ["held-out", "paper", "paper-f1", "all"],
            help="held-out: without leaks; paper, paper-f1: the released recipes, with a list of their leaks;"
            " all: each of them.",
        ),
    ] = "held-out",
    seeds: Annotated[str, typer.Option(help="Seeds of the heads, separated by commas.")] = "0,1,2",
    directions: Annotated[
        str | None,
        typer.Option(
            metavar="A->B,...",
            help="Directions, separated by commas: modality heads learn on -> modality they are tested on.",
            show_default="all",
        ),
    ] = None,
    continuous: Annotated[
        bool,
        typer.Option(
            help="Also measure without codes: on features before quantization, heads also on input features."
        ),
    ] = True,
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE|FILE",
            help="Videos to leave out, such as those of pretraining: a feature store, or a list of ids, one"
            " per line.",
            show_default="no video",
        ),
    ] = None,
    printed: Annotated[
        bool, typer.Option("--printed", help="Also show the numbers printed in the papers, on other data.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="JSON file to write; with all, a folder with a file for each result.",
            show_default="none",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train heads on one modality's codes, test them on another's."""
    from benchmarks.evaluation.evaluate import ALL, evaluate_all, file_name
    from unicode_cmg.files import check_writable, write_json

    several = ALL in (task, protocol)
    if to is not None:
        if to.exists() and to.is_dir() != several:
            what, expected = (
                ("a file", "a folder to write") if several else ("a folder", "a JSON file to write")
            )
            raise InputError(f"this is {what}", where=to, expected=expected)
        check_writable(to / "results.json" if several else to)
    found = evaluate_all(
        _load(checkpoint),
        task,
        data,
        protocol,
        skipped=lambda name, why: console.say(f"{name}: skipped, {why}"),
        task_options=console.given(
            labels=labels,
            texts=texts,
            label_column=None if label_column is None else console.names_in(label_column),
            kind=kind,
            split_column=split_column,
            group_column=group_column,
            id_column=id_column,
            split_seed=split_seed,
        ),
        directions=None if directions is None else console.names_in(directions),
        continuous=continuous,
        seeds=console.seeds_in(seeds),
        toc=_files(toc_files),
        toc_use=toc_use,
        merge=_files(merge),
        code_layers=None if code_layers is None else console.names_in(code_layers),
        level=level,
        exclude=exclude or (),
    )
    results, unwritten = [], None
    for result in found:
        if to is not None:
            try:
                write_json(to / file_name(result) if several else to, result.to_json())
            except InputError as error:  # the numbers took long: they are printed first
                unwritten = error
        if several and not as_json:
            console.show(result.table(printed=printed) + "\n")
        results.append(result)
    if as_json or not several:
        console.finish(
            {"results": [result.to_json() for result in results]} if several else results[0].to_json(),
            results[0].table(printed=printed),
            as_json,
        )
    if unwritten is not None:
        raise unwritten


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(help="Released .pt file, or folder of a model, a checkpoint or a run.")
    ],
    to: Annotated[Path, typer.Option(help="Folder to write, or .pt file to write in the released layout.")],
    as_json: AsJson = False,
) -> None:
    """Convert a released checkpoint to a model folder, or back, or export the model of a run.

    Tensors keep their bits and types; optimizer states are dropped.
    """
    from unicode_cmg.checkpoints import convert as convert_checkpoint

    conversion = convert_checkpoint(source, to)
    console.finish(conversion.to_json(), conversion.summary(), as_json)


@app.command()
def encode(
    checkpoint: Checkpoint,
    features: Features,
    to: Annotated[Path, typer.Option(metavar="FILE", help="Table to write, such as codes.parquet.")],
    vectors: Annotated[bool, typer.Option("--vectors", help="Also write the vector of each code.")] = False,
    modalities: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Modalities to encode, separated by commas, such as audio,text.",
            show_default="all that model and features share",
        ),
    ] = None,
    level: Level = None,
    merge: Merge = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of clips per batch.")] = 64,
    shard: Shard = "0/1",
    engine: Engine = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of Ray.", show_default="one per core or GPU")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the codes of every clip to a Parquet table.

    The table has one row for each clip, modality, valid step and code layer.
    """
    from unicode_cmg.data import FeatureStore
    from unicode_cmg.encoding import encode_store
    from unicode_cmg.files import check_writable

    check_writable(to)
    written = encode_store(
        _load(checkpoint, merge),
        FeatureStore.open(features),
        to,
        vectors=vectors,
        modalities=None if modalities is None else console.names_in(modalities),
        level=level,
        batch_size=batch_size,
        shard=console.shard_in(shard),
        engine=engine,
        workers=workers,
        progress=None,
    )
    console.finish(written.to_json(), written.summary(), as_json)


@app.command()
def codes(
    checkpoint: Checkpoint,
    features: Features,
    to: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="the folder codes of the run")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a data set in the AVE layout.")] = "test",
    code_layer: Annotated[
        str | None, typer.Option(help="Code layer, such as layer0.", show_default="the first")
    ] = None,
    level: Level = None,
    merge: Merge = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Use raw counts, not corrected for the number of steps of each modality."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which modalities use a code, and what it stands for.

    Writes codes.json, codes.csv with one row for each code, and codes.png, which the report of the run
    shows. Codes are compared with the classes of a data set in the AVE layout, or with the column 'label' of
    a feature store.
    """
    from unicode_cmg.data.labelled import LabelledClips, open_clips, open_events
    from unicode_cmg.files import check_writable
    from unicode_cmg.inspect.codes.describe import codes_folder, write_codes

    to = codes_folder(checkpoint) if to is None else to
    if not to.is_file():
        check_writable(to / "codes.json")
    clips = open_clips(features, split)
    found = write_codes(
        _load(checkpoint, merge),
        clips,
        to,
        code_layer=code_layer,
        level=level,
        raw=raw,
        events=open_events(features) if isinstance(clips, LabelledClips) else None,
        progress=None,
    )
    console.finish(found.to_json(), f"{found.table()}\n\nwritten to {to}", as_json)


@app.command()
def slots(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of a run with slot_alignment, or one of its checkpoints.")
    ],
    features: Features,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE.html",
            help="Picture to write: an HTML page, or a .png, .pdf or .svg file.",
            show_default="none",
        ),
    ] = None,
    clips: Annotated[
        str,
        typer.Option(metavar="N|ID,ID", help="Clips to show: the first N, or those with these ids."),
    ] = "8",
    tokens: Annotated[
        int,
        typer.Option(min=1, help="Tokens shown for each slot; at most three tenths of a short sequence."),
    ] = 20,
    seed: Seed = 0,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
) -> None:
    """Show what the matched slots of a run attend to.

    Lists the words, patches and steps with the largest attention, and draws them.
    """
    from unicode_cmg.data import FeatureStore
    from unicode_cmg.inspect import matched_slots, write_slots

    store = FeatureStore.open(features)
    chosen = int(clips) if clips.isdecimal() else console.names_in(clips)
    options: dict[str, Any] = {"clips": chosen, "tokens": tokens, "seed": seed, "trust_code": trust_code}
    if to is None:
        found, written = matched_slots(checkpoint, store, **options), ""
    else:
        found, written = write_slots(checkpoint, store, to, **options), f"\n\nwritten to {to}"
    console.finish(found.to_json(), found.table() + written, as_json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")],
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="Feature store of the clips that the page draws.",
            show_default="that of the configuration, if it lies in the folder of the run",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run.

    Writes results.json and report.html, a self-contained page, into the folder of the run.
    """
    from benchmarks.report import RESULTS, build_report

    page = build_report(run, features=features)
    console.finish({"report": str(page), "results": str(run / RESULTS)}, f"report: {page}", as_json)


def _load(checkpoint: Path, merge: list[str] | None = None) -> Model:
    """The model, on the GPU if there is one, with its codes merged if asked to."""
    from unicode_cmg.checkpoints import best_device, load_pretrained

    model = load_pretrained(checkpoint, map_location=best_device())
    if not merge:
        return model
    from benchmarks.refinement import MergedModel

    return MergedModel(model, _files(merge) or ())


def _files(values: list[str] | None) -> Literal["auto"] | list[str] | None:
    """Files of a refinement, or "auto" alone."""
    return "auto" if values == ["auto"] else values or None


def run(arguments: list[str]) -> int:
    """Run one command, such as `["report", "runs/mine"]`; the exit code. Faults of ours are raised."""
    return console.run(app, "unicode-cmg", arguments)


def main() -> None:
    """Run the command in `sys.argv` and exit with its exit code."""
    console.main(app, "unicode-cmg")


if __name__ == "__main__":
    main()
