"""Markdown tables, and the same as HTML."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, text: Collection[str] | None = None
) -> str:
    """A Markdown table; its last line ends with a line break.

    Args:
        header: Names of the columns.
        rows: Cells of each row.
        text: None: the cells stand as they are. Otherwise every column has one width, so that the table also
            reads well as plain text: columns with these names are aligned left, the others right.
    """
    if text is None:
        lines = [header, ["---"] * len(header), *rows]
        return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    body = [header, *rows]
    columns = [
        ("<" if name in text else ">", max(map(len, cells)))
        for name, cells in zip(header, zip(*body, strict=True), strict=True)
    ]
    head, *others = (
        f"| {' | '.join(f'{c:{side}{width}}' for c, (side, width) in zip(cells, columns, strict=True))} |\n"
        for cells in body
    )
    rules = (f":{'-' * (width + 1)}" if side == "<" else f"{'-' * (width + 1)}:" for side, width in columns)
    return "".join([head, f"|{'|'.join(rules)}|\n", *others])


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML, as notebooks show it."""

    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    body = "".join(line(cells, "td") for cells in rows)
    return f"<table><thead>{line(header, 'th')}</thead><tbody>{body}</tbody></table>"
