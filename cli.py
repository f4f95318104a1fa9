"""The command line `unicode-cmg`: the commands of `unicode_cmg/commands`, put together.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done; 2 the user's input is wrong, or no
command was given and the help is shown; 3 `pretrain --strict` gave a bad verdict; 130 or 143 stopped by
Ctrl-C or SIGTERM; 141 the reader of our output has gone; 1 a fault of ours, with a traceback.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unicode_cmg import console
from unicode_cmg.commands import data, evaluation, extraction, models, refinement, runs


class _Commands(TyperGroup):
    """Commands whose names may have two words, such as `toc merge` beside `toc`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        both = " ".join(args[:2])
        return super().resolve_command(ctx, [both, *args[2:]] if both in self.commands else args)


def _print_version(asked: bool) -> None:
    if asked:
        from unicode_cmg import __version__

        print(f"unicode-cmg {__version__}")
        raise typer.Exit


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


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


# as the help lists them
app.command(short_help="Pretrain, refine, evaluate and report on embedded data.")(runs.quickstart)
app.command(short_help="Write a feature store from files of sound, video, images and text.")(
    extraction.extract
)
app.command(short_help="Print a configuration that fits a feature store.")(runs.init)
app.command()(runs.pretrain)
app.command()(refinement.toc)
app.command("toc merge")(refinement.toc_merge)
app.command()(evaluation.evaluate)
app.command()(models.convert)
app.command()(models.encode)
app.command()(models.codes)
app.command()(models.slots)
app.command()(runs.report)
app.add_typer(data.app, name="data", help="Import, show, check and export features; write embedded data.")


def run(arguments: list[str]) -> int:
    """Run one command, such as `["report", "runs/mine"]`; the exit code. Faults of ours are raised."""
    return console.run(app, "unicode-cmg", arguments)


def main() -> None:
    """Run the command in `sys.argv` and exit with its exit code."""
    console.main(app, "unicode-cmg")


if __name__ == "__main__":
    main()
