"""Runs that are known to be good or bad, and the verdict on each: what the thresholds of findings rest on.

usage: python -m benchmarks.experiments.verdicts --to FOLDER [--only NAME,NAME]

Every run is the quickstart's, on the embedded digits or on the hard ones, with the changes in its row. A run
is there already if its folder is finished. With all rows it takes about an hour on one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.markdown import markdown_table
from unicode_cmg.console import names_in, run_command, say
from unicode_cmg.data.digits import write_digits
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.training import PretrainConfig, Verdict, fit

_FCID = (
    *("method.name=fcid", "method.transformer_layers=1"),
    *("method.fine=[video,audio]", "method.coarse=[text]"),
)


@dataclass(frozen=True)
class Run:
    """One row.

    Attributes:
        good: Whether its codes are known to transfer.
        recipe: Recipe of the digits.
        settings: Changes to the quickstart's configuration.
    """

    good: bool
    recipe: str
    settings: tuple[str, ...]


RUNS = {
    "DCID as in the quickstart": Run(True, "default", ()),
    "FCID": Run(True, "default", (*_FCID, "training.epochs=8")),
    "H-DCID": Run(True, "default", ("method.name=hdcid", "method.warm_start_epochs=3", "training.epochs=8")),
    "hard digits without CLUB": Run(True, "hard", ("loss_weights.club=0", "training.epochs=8")),
    "CLUB 100 times": Run(False, "default", ("loss_weights.club=100", "training.epochs=4")),
    "learning rate 0.1": Run(False, "default", ("optimizer.lr=0.1", "training.epochs=4")),
    "learning rate 1": Run(False, "default", ("optimizer.lr=1", "training.epochs=4")),
    "two epochs of warm-up": Run(False, "default", ("training.epochs=2",)),
    "batches of one clip": Run(
        False, "default", ("training.batch_size=1", "data.limit=100", "training.epochs=2")
    ),
    "H-DCID ended in its warm start": Run(False, "default", ("method.name=hdcid", "training.epochs=3")),
}


def verdict_of(run: Run, folder: Path, digits: Path) -> Verdict | str:
    """The verdict on a run, which is trained if it is not there; or the error that stopped it.

    Args:
        run: The row.
        folder: Where the run is.
        digits: The folder of its digits.
    """
    with as_file(files("benchmarks") / "quickstart.yaml") as path:
        config = PretrainConfig.load(path, [f"data.store={digits / 'pretrain'}", *run.settings])
    try:
        return fit(config, folder, resume="auto").verdict
    except InputError as error:
        return str(error)


def verdicts(
    to: Annotated[Path, typer.Option(help="Folder of the runs.")],
    only: Annotated[str | None, typer.Option(help="Names of rows, separated by commas.")] = None,
) -> None:
    """Train the runs and print a table of their verdicts."""
    rows = []
    for name in RUNS if only is None else names_in(only):
        if name not in RUNS:
            raise unknown("run", name, RUNS, where="--only")
        run = RUNS[name]
        digits = to / f"digits-{run.recipe}"
        if not (digits / "digits.json").is_file():
            write_digits(digits, recipe=run.recipe)
        say(f"{name} …")
        found = verdict_of(run, to / name.replace(" ", "-"), digits)
        kinds = "" if isinstance(found, str) else ", ".join(finding.kind for finding in found.findings)
        sentence = found if isinstance(found, str) else found.sentence.partition(":")[0]
        rows.append([name, "good" if run.good else "bad", sentence, kinds or "none"])
    print(markdown_table(["run", "known to be", "verdict", "findings at the end"], rows), end="")


if __name__ == "__main__":
    run_command(verdicts)
