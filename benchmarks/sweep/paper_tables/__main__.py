"""Print results as table 1 of the papers has them.

usage: python -m benchmarks.sweep.paper_tables RESULT.json|RUN|NAME=PATH ... [--latex] [--printed]

A row is a method, without or with TOC; several checkpoints of a method share its row, unless NAME=PATH gives
them rows of their own. There is a table for each protocol.
"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.console import run_command
from benchmarks.sweep.paper_tables import as_latex, as_markdown, paper_tables, read_sources

app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__)


@app.command()
def paper_table(
    results: Annotated[
        list[str], typer.Argument(metavar="RESULT.json|RUN|NAME=PATH ...", help="Results, or runs with some.")
    ],
    latex: Annotated[bool, typer.Option("--latex", help="LaTeX with booktabs instead of Markdown.")] = False,
    printed: Annotated[
        bool, typer.Option("--printed", help="Below, what the papers print, on other data.")
    ] = False,
) -> None:
    """Print a table for each protocol."""
    tables = paper_tables(read_sources(results), printed=printed)
    print("\n".join((as_latex if latex else as_markdown)(table) for table in tables), end="")


def main() -> None:
    """Run the command in `sys.argv`."""
    run_command(app)


if __name__ == "__main__":
    main()
