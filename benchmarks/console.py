"""What the commands `python -m benchmarks.…` share: how they read seeds, and how they end."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from unicode_cmg.errors import InputError


def app_of(command: Callable[..., None]) -> typer.Typer:
    """A function as a command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command)
    return app


def run_command(command: Callable[..., None]) -> None:
    """Run a function with the arguments in `sys.argv`; an error of the user is one line and exit code 2."""
    try:
        app_of(command)()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def seeds_in(text: str) -> tuple[int, ...]:
    """The seeds in a text such as "0,1,2".

    Raises:
        InputError: It holds something else, or a seed twice.
    """
    parts = [part.strip() for part in text.split(",")]
    seeds = tuple(int(part) for part in parts if part.isdecimal())
    if len(set(seeds)) < len(parts):
        raise InputError(
            f"cannot read '{text}'", where="--seeds", expected="different whole numbers such as 0,1,2"
        )
    return seeds
