"""Commands that make a run or show one: `quickstart`, `init`, `pretrain` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unicode_cmg import console
from unicode_cmg.commands.options import AsJson, Features, Seed, TrustCode


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
