"""Print results as table 1 of the papers shows them, in Markdown or in LaTeX for the package booktabs.

usage: python -m benchmarks.sweep.paper_tables RESULT.json|RUN|NAME=PATH ... [--latex] [--printed]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Annotated

import typer

from benchmarks.markdown import markdown_table
from benchmarks.sweep.paper_rows import TASKS, PaperTable, Row, paper_tables, read_sources
from unicode_cmg.console import run_command

_ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "%&_#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"→": r"$\to$", "↔": r"$\leftrightarrow$", "±": r"$\pm$"}
)


def as_markdown(table: PaperTable) -> str:
    """The caption, the table, and what papers print as a table of its own."""
    header = ["method", *(f"{TASKS[c.task]} {c.arrow}" for c in table.columns), "Avg."]
    parts = [table.caption, markdown_table(header, _lines(table.rows, str, "**{}**".format, "{} ± {}"))]
    if table.printed:
        parts.append(f"PRINTED, on other data ({table.printed_in}):")
        parts.append(markdown_table(header, _lines(table.printed, str, str, "{} ± {}")))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def as_latex(table: PaperTable) -> str:
    """A `table` environment; needs `\\usepackage{booktabs}`."""
    groups = [(task, len(list(columns))) for task, columns in groupby(table.columns, lambda c: c.task)]
    heads, rules, place = [], [], 2
    for task, width in groups:
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{_escaped(TASKS[task])}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
        place += width
    measured = _lines(table.rows, _escaped, r"\textbf{{{}}}".format, r"{} {{\scriptsize$\pm$ {}}}")
    lines = [
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\caption{{{_escaped(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'c' * len(table.columns)}c}}",
        r"\toprule",
        rf" & {' & '.join(heads)} & \\",
        " ".join(rules),
        rf"Method & {' & '.join(_escaped(column.arrow) for column in table.columns)} & Avg. \\",
        r"\midrule",
        *(rf"{' & '.join(cells)} \\" for cells in measured),
    ]
    if table.printed:
        note = _escaped(f"Printed, on other data: {table.printed_in}")
        lines += [
            r"\midrule",
            rf"\multicolumn{{{len(table.columns) + 2}}}{{l}}{{\emph{{{note}}}}} \\",
            *(rf"{' & '.join(cells)} \\" for cells in _lines(table.printed, _escaped, str, "{} {}")),
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _lines(
    rows: Sequence[Row], named: Callable[[str], str], bold: Callable[[str], str], form: str
) -> Iterator[list[str]]:
    """The cells of each row as text; the best number of each column is bold where rows compete."""
    columns = zip(*((*row.cells, row.average) for row in rows), strict=True)
    best = [max((f"{cell.mean:.1f}" for cell in column if cell), key=float, default="") for column in columns]
    for row in rows:
        cells = []
        for cell, top in zip((*row.cells, row.average), best, strict=True):
            number = "-" if cell is None else f"{cell.mean:.1f}"
            if cell is not None and len(rows) > 1 and number == top:
                number = bold(number)
            cells.append(
                number if cell is None or cell.std is None else form.format(number, f"{cell.std:.1f}")
            )
        yield [named(row.name), *cells]


def print_tables(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULT.json|RUN|NAME=PATH ...", help="Result files, or runs with results."),
    ],
    latex: Annotated[bool, typer.Option("--latex", help="LaTeX with booktabs instead of Markdown.")] = False,
    printed: Annotated[
        bool, typer.Option("--printed", help="Also the numbers that the papers print, on other data.")
    ] = False,
) -> None:
    """Print results as table 1 of the papers shows them, one table for each protocol.

    A row is a method, without or with TOC. Several checkpoints of a method share its row, unless NAME=PATH
    gives them rows of their own.
    """
    tables = paper_tables(read_sources(results), printed=printed)
    print("\n".join((as_latex if latex else as_markdown)(table) for table in tables), end="")


if __name__ == "__main__":
    run_command(print_tables)
