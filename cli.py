"""The command line: one function per command, the work is done elsewhere.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done; 2 the user's input is wrong (one
line says what, where and how to mend it); 130 or 143 stopped by Ctrl-C or SIGTERM; 141 the reader of our
output went away; 1 a fault of ours, with a traceback.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unicode_cmg.errors import InputError

if TYPE_CHECKING:
    from unicode_cmg.methods.base import Method

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
data_app = typer.Typer()
app.add_typer(data_app, name="data", help="Write and check data sets.")


class Recipe(StrEnum):
    """How the digit clips are drawn."""

    default = "default"
    reference = "reference"


class Protocol(StrEnum):
    """How a task selects and reports."""

    held_out = "held-out"
    paper = "paper"
    paper_f1 = "paper-f1"
    all = "all"


class TOCUse(StrEnum):
    """How heads use the kept dimensions of `evaluate --toc`."""

    slice = "slice"
    requantize = "requantize"


class Resume(StrEnum):
    """What to do with a run that was begun before."""

    auto = "auto"
    never = "never"


AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on stdout and nothing else there.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Checkpoint = Annotated[
    Path, typer.Argument(help="Folder of a model, checkpoint or run, or a released .pt file.")
]
Features = Annotated[Path, typer.Argument(help="Folder of a feature store.")]
Level = Annotated[
    str | None, typer.Option(help="How fine the codes are, of a model that offers a choice, such as clip.")
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
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Unified multimodal codebooks: pretrain, refine without training, measure cross-modal generalization."""


@app.command()
def quickstart(
    to: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/quickstart"),
    seed: Seed = 0,
    resume: Annotated[
        Resume, typer.Option(help="Continue what the folder holds, or refuse to.")
    ] = Resume.auto,
    as_json: AsJson = False,
) -> None:
    """The whole way on embedded data: pretrain, refine, evaluate, report."""
    from benchmarks.quickstart import quickstart as run_quickstart

    outcome = run_quickstart(to, seed, resume=resume.value, say=_say)
    _finish(outcome.results, f"\n{outcome.table}\n\nreport: {outcome.page}", as_json)


@data_app.command()
def digits(
    to: Annotated[Path, typer.Option(help="Folder to write.")],
    recipe: Annotated[
        Recipe, typer.Option(help="default, or the clips the released implementations were measured on.")
    ] = Recipe.default,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Write the embedded data set of digits."""
    from unicode_cmg.data.digits import write_digits

    manifest = write_digits(to, recipe=recipe.value, seed=seed)
    clips = ", ".join(f"{count} {split}" for split, count in manifest["clips"].items())
    _finish({"to": str(to), **manifest}, f"{to}: {clips} clips", as_json)


@data_app.command()
def check(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Such as ave, avvp or clotho.")],
    root: Annotated[Path, typer.Argument(help="Folder of the data set, or the one that contains it.")],
    every: Annotated[
        bool, typer.Option("--all", help="Read the features of every clip, not only of a sample.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell whether the files of a task are complete, readable and as published.

    Lists what is fine, what one should know, and every problem. The exit code is 2 if there is a problem.
    """
    from unicode_cmg.data.check import check_data

    findings = check_data(task, root, every=every)
    _finish(findings.to_json(), findings.text(), as_json)
    if not findings.usable:
        raise typer.Exit(2)


@app.command()
def pretrain(
    config: Annotated[Path, typer.Argument(help="YAML file, such as benchmarks/quickstart.yaml.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/ and the name of the file")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Change a setting; may be given repeatedly."),
    ] = None,
    resume: Annotated[
        str,
        typer.Option(metavar="auto|never|RUN", help="Continue this run, refuse to, or continue another one."),
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Pretrain a unified codebook."""
    from unicode_cmg.config import apply_overrides, load_yaml
    from unicode_cmg.training import PretrainConfig, fit

    parsed = PretrainConfig.parse(apply_overrides(load_yaml(config), settings or []), where=config)
    start: Literal["auto", "never"] | Path
    start = "auto" if resume == "auto" else "never" if resume == "never" else Path(resume)
    result = fit(parsed, to or Path("runs") / config.stem, resume=start)
    _finish(
        {
            "run": str(result.run),
            "model": str(result.model),
            "steps": result.steps,
            "seconds": result.seconds,
            "last": result.last,
        },
        f"{result.steps} steps in {result.seconds:.0f} s\nmodel: {result.model}",
        as_json,
    )


@app.command()
def toc(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="Folder of a model or a run, or a .safetensors, .pt, .npy or .npz file."),
    ],
    to: Annotated[Path | None, typer.Option(help="Folder to write; needed without --list.")] = None,
    keep: Annotated[
        str, typer.Option(help="Dimensions to keep: a number such as 128, a part such as 0.5, or auto.")
    ] = "0.5",
    lam: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Weight of the variance against the similarity.", show_default="0.3"),
    ] = None,
    variant: Annotated[
        str,
        typer.Option(metavar="paper|released|...", help="Whose scores: the papers' or the released code's."),
    ] = "paper",
    codebook: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which codebook, where there are several; all for each of them."),
    ] = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="Print which codebooks there are, and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Refine a codebook without training.

    Keeps the dimensions that tell its codes apart, and writes toc.json, codebook.npy and toc.png.
    """
    from toc import find_codebooks
    from toc.outputs import ALL, refine

    found = find_codebooks(checkpoint)
    if list_only:
        _finish(found.to_json(), found.table(), as_json)
        return
    if to is None:
        raise InputError("--to is missing", expected="a folder to write", fix="--list only looks")
    refined = refine(found, to, codebook, n_dims=_amount(keep), lam=lam, variant=variant)
    values = [each.to_json() for each in refined]
    _finish(
        {"codebooks": values} if codebook == ALL else values[0],
        "\n".join(each.summary() for each in refined),
        as_json,
    )


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    task: Annotated[
        str,
        typer.Option(
            metavar="ave|avvp|ave-avvp|ucf-vgg|retrieval|...|all",
            help="Which task; all stands for those whose data is there.",
        ),
    ],
    data: Annotated[Path, typer.Option(help="Folder of the task's data set.")],
    toc_files: Annotated[
        list[str] | None,
        typer.Option(
            "--toc",
            metavar="FILE|auto",
            help="toc.json, one for each code layer that heads see; auto refines the codebooks here.",
        ),
    ] = None,
    toc_use: Annotated[
        TOCUse,
        typer.Option(help="Look at the kept dimensions of the codes, or choose the codes anew in them."),
    ] = TOCUse.slice,
    layers: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Code layers that heads see, such as layer1; all by default."),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(help="held-out is clean; the paper's have published leaks and list them; all of them."),
    ] = Protocol.held_out,
    seeds: Annotated[str, typer.Option(help="Seeds of the heads, with commas between.")] = "0,1,2",
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Leave out videos whose ids are in this list, such as those of pretraining."
        ),
    ] = None,
    printed: Annotated[
        bool, typer.Option("--printed", help="Show the papers' numbers, on other data, beside these.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Also write the result to this file, as JSON; with all, each to a file in this folder.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on one modality's codes, test on another's."""
    from benchmarks.console import seeds_in
    from benchmarks.evaluation.all_tasks import ALL, evaluate_all, file_name
    from unicode_cmg.files import write_json

    several = ALL in (task, protocol.value)
    found = evaluate_all(
        _load(checkpoint),
        task,
        data,
        protocol.value,
        skipped=lambda name, why: _say(f"{name}: skipped, {why}"),
        seeds=seeds_in(seeds),
        toc="auto" if toc_files == ["auto"] else toc_files or None,
        toc_use=toc_use.value,
        layers=None if layers is None else [name.strip() for name in layers.split(",")],
        exclude=exclude or (),
    )
    results = []
    for result in found:
        if to is not None:
            write_json(to / file_name(result) if several else to, result.to_json())
        if several and not as_json:
            print(result.table(printed=printed), end="\n\n", flush=True)
        results.append(result)
    if as_json or not several:
        _finish(
            {"results": [result.to_json() for result in results]} if several else results[0].to_json(),
            results[0].table(printed=printed),
            as_json,
        )


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(help="A released .pt file, or the folder of a model, a checkpoint or a run.")
    ],
    to: Annotated[Path, typer.Option(help="A folder to write, or a .pt file in the released layout.")],
    as_json: AsJson = False,
) -> None:
    """Convert a released checkpoint to a model folder, or a model back.

    Tensors keep their bits and types; the states of optimizers are dropped.
    """
    from unicode_cmg.checkpoints import convert as convert_checkpoint

    conversion = convert_checkpoint(source, to)
    _finish(conversion.to_json(), conversion.summary(), as_json)


@app.command()
def encode(
    checkpoint: Checkpoint,
    features: Features,
    to: Annotated[Path, typer.Option(metavar="FILE", help="Table to write, such as codes.parquet.")],
    vectors: Annotated[bool, typer.Option("--vectors", help="Also write the vector of each code.")] = False,
    modalities: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Such as audio,text; by default all that both have."),
    ] = None,
    level: Level = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips at a time.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Write the codes of every clip as a Parquet table.

    One row for each clip, modality, valid step and code layer.
    """
    from unicode_cmg.data import FeatureStore
    from unicode_cmg.encoding import encode_store

    written = encode_store(
        _load(checkpoint),
        FeatureStore.open(features),
        to,
        vectors=vectors,
        modalities=None if modalities is None else [name.strip() for name in modalities.split(",")],
        level=level,
        batch_size=batch_size,
        progress=None,
    )
    _finish(written.to_json(), written.summary(), as_json)


@app.command()
def codes(
    checkpoint: Checkpoint,
    features: Features,
    to: Annotated[Path, typer.Option(help="Folder to write.")],
    layer: Annotated[
        str | None, typer.Option(help="Which code layer, such as layer0; the first by default.")
    ] = None,
    level: Level = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Shares of raw counts, not corrected for the steps of each modality."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell who uses which code, and what each stands for.

    Writes codes.json, codes.csv with a row for each code, and codes.png.
    """
    from unicode_cmg.data import FeatureStore
    from unicode_cmg.inspect.codes import write_codes

    found = write_codes(
        _load(checkpoint), FeatureStore.open(features), to, layer=layer, level=level, raw=raw, progress=None
    )
    _finish(found.to_json(), f"{found.table()}\n\nwritten to {to}", as_json)


@app.command()
def slots(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of a run with slot_alignment, or one of its checkpoints.")
    ],
    features: Features,
    to: Annotated[
        Path | None,
        typer.Option(metavar="PAGE.html", help="Picture to write: a page, or .png, .pdf or .svg."),
    ] = None,
    clips: Annotated[
        str, typer.Option(metavar="N|ID,ID", help="Which clips: the first so many, or their ids.")
    ] = "8",
    tokens: Annotated[
        int, typer.Option(min=1, help="Tokens of each slot; of a short sequence three in ten at most.")
    ] = 20,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Show which words, patches and steps the matched slots of a run attend to."""
    from unicode_cmg.data import FeatureStore
    from unicode_cmg.inspect.slots import matched_slots, write_slots

    store = FeatureStore.open(features)
    chosen = int(clips) if clips.isdecimal() else [clip for clip in clips.split(",") if clip]
    options: dict[str, Any] = {"clips": chosen, "tokens": tokens, "seed": seed}
    if to is None:
        found, written = matched_slots(checkpoint, store, **options), ""
    else:
        found, written = write_slots(checkpoint, store, to, **options), f"\n\nwritten to {to}"
    _finish(found.to_json(), found.table() + written, as_json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")], as_json: AsJson = False
) -> None:
    """Write the report of a run.

    Writes results.json and report.html, one self-contained page, into its folder.
    """
    from benchmarks.report import RESULTS, build_report

    page = build_report(run)
    _finish({"report": str(page), "results": str(run / RESULTS)}, f"report: {page}", as_json)


def _load(checkpoint: Path) -> Method[Any]:
    """The model, on the GPU if there is one."""
    from unicode_cmg.checkpoints import best_device, load_pretrained

    return load_pretrained(checkpoint, map_location=best_device())


def _amount(text: str) -> int | float | Literal["auto"]:
    """`128` is a number of dimensions, `0.5` a part of them, and `auto` leaves it to TOC."""
    if text == "auto":
        return "auto"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise InputError(
            f"cannot read '{text}'", where="--keep", expected="a number such as 128 or 0.5, or auto"
        ) from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _finish(result: Mapping[str, Any], text: str, as_json: bool) -> None:
    print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) if as_json else text)


class _Terminated(KeyboardInterrupt):
    """SIGTERM arrived where nobody waits for it; training catches it first and saves."""

    signal = signal.SIGTERM


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _users_fault(error: Exception) -> str | None:
    """What to tell the user, or None if the fault is ours."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "unicode-cmg"
        return f"{error.format_message().rstrip('.')}; see '{command} --help'"
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    from toc import CodebookError  # here, because it loads numpy

    return str(error) if isinstance(error, CodebookError) else None


_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
)


def run(arguments: list[str]) -> int:
    """Run one command, such as `["report", "runs/mine"]`; the exit code. Faults of ours are raised."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("unicode-cmg", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as left:
        return left.exit_code
    except KeyboardInterrupt as stopped:
        print(str(stopped) or "interrupted", file=sys.stderr)
        return 128 + getattr(stopped, "signal", signal.SIGINT)
    except BrokenPipeError:
        # what is still buffered must not fail once more when Python flushes it on the way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        message = _users_fault(error)
        if message is None:
            raise
        print("error: " + " ".join(message.split()), file=sys.stderr)
        return 2
    return 0


def main() -> None:
    """Run the command in `sys.argv` and leave with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
