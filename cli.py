"""The command line: one function per command, the work is done elsewhere.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done; 2 the user's input is wrong (one line says
what, where and how to mend it); 130 or 143 stopped by Ctrl-C or SIGTERM; 141 the reader of our output went away;
1 a fault of ours, with a traceback.
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
from typing import Annotated, Any

import typer

from unicode_cmg.errors import InputError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
data_app = typer.Typer()
app.add_typer(data_app, name="data", help="Write data sets.")


class Recipe(StrEnum):
    """How the digit clips are drawn."""

    default = "default"
    reference = "reference"


class Protocol(StrEnum):
    """How a task selects and reports."""

    held_out = "held-out"
    paper = "paper"


class Resume(StrEnum):
    """What to do with a run that was begun before."""

    auto = "auto"
    never = "never"


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout and nothing else there.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Checkpoint = Annotated[Path, typer.Argument(help="Folder of a model, a checkpoint or a run.")]


def _print_version(asked: bool) -> None:
    if asked:
        from unicode_cmg import __version__

        print(f"unicode-cmg {__version__}")
        raise typer.Exit


@app.callback()
def unicode_cmg(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Unified multimodal codebooks: pretrain, refine without training, measure cross-modal generalization."""


@app.command()
def quickstart(
    to: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/quickstart"),
    seed: Seed = 0,
    resume: Annotated[Resume, typer.Option(help="Continue what the folder holds, or refuse to.")] = Resume.auto,
    as_json: AsJson = False,
) -> None:
    """Pretrain on spoken and written digits, refine, evaluate and report: minutes on two cores."""
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
    """Write the embedded data set: digits that are spoken, written and told about."""
    from unicode_cmg.data.digits import write_digits

    manifest = write_digits(to, recipe=recipe.value, seed=seed)
    clips = ", ".join(f"{count} {split}" for split, count in manifest["clips"].items())
    _finish({"to": str(to), **manifest}, f"{to}: {clips} clips", as_json)


@app.command()
def pretrain(
    config: Annotated[Path, typer.Argument(help="YAML file; every key is described in docs/configuration.md.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/ and the name of the file")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change a setting; may be given repeatedly.")
    ] = None,
    resume: Annotated[
        str, typer.Option(metavar="auto|never|RUN", help="Continue this run, refuse to, or continue another one.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Pretrain a unified codebook."""
    from unicode_cmg.config import apply_overrides, load_yaml
    from unicode_cmg.training import PretrainConfig, fit

    parsed = PretrainConfig.parse(apply_overrides(load_yaml(config), settings or []), where=config)
    start = resume if resume in ("auto", "never") else Path(resume)
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
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a model or a run, or an .npy or .npz codebook.")],
    to: Annotated[Path, typer.Option(help="Folder to write.")],
    keep: Annotated[str, typer.Option(help="Dimensions to keep: a number such as 128, or a part such as 0.5.")] = "0.5",
    lam: Annotated[float, typer.Option(min=0, max=1, help="Weight of the variance against the similarity.")] = 0.3,
    layer: Annotated[str | None, typer.Option(help="Which codebook, where the model has several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Refine a codebook without training: keep the dimensions that tell its codes apart."""
    raise typer.Exit


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    task: Annotated[str, typer.Option(help="Which task: ave.")],
    data: Annotated[Path, typer.Option(help="Folder of the task's data set.")],
    toc_file: Annotated[
        list[Path] | None, typer.Option("--toc", metavar="FILE", help="toc.json, one for each codebook layer.")
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="held-out is clean; paper has the published leaks and lists them.")
    ] = Protocol.held_out,
    seeds: Annotated[str, typer.Option(help="Seeds of the heads, with commas between.")] = "0,1,2",
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the result here, as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train heads on one modality's codes, test them on another's."""
    from benchmarks import evaluate as evaluate_model
    from unicode_cmg import load_pretrained
    from unicode_cmg.files import write_json

    result = evaluate_model(
        load_pretrained(checkpoint), task, data, protocol.value, _numbers(seeds, "--seeds"), toc=toc_file
    )
    if to is not None:
        write_json(to, result.to_json())
    _finish(result.to_json(), result.table(), as_json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")], as_json: AsJson = False
) -> None:
    """Write results.json and report.html, one self-contained page, into the folder of a run."""
    from benchmarks.report import RESULTS, build_report

    page = build_report(run)
    _finish({"report": str(page), "results": str(run / RESULTS)}, f"report: {page}", as_json)


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"cannot read '{text}'", where=option, expected="whole numbers such as 0,1,2") from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _finish(result: Mapping[str, Any], text: str, as_json: bool) -> None:
    print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) if as_json else text)


def main() -> None:
    """Run the command of `sys.argv` and leave with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    command = typer.main.get_command(app)
    try:
        with command.make_context("unicode-cmg", sys.argv[1:]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as left:
        sys.exit(left.exit_code)
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, "signal", None) or (stopped.args and stopped.args[0]) or signal.SIGINT
        sys.exit(128 + number)
    except BrokenPipeError:
        sys.exit(141)
