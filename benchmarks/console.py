"""How the commands `python -m benchmarks.…` end."""

from __future__ import annotations

import sys

import typer

from unicode_cmg.errors import InputError


def run_command(app: typer.Typer) -> None:
    """Run a command with the arguments in `sys.argv`; a user's mistake is one line and exit code 2."""
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
