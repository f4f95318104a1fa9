"""Tables as plain text, for what the commands print."""

from __future__ import annotations

from collections.abc import Sequence


def number(value: float | None, form: str) -> str:
    """The value in that format; a dash for None."""
    return "-" if value is None else format(value, form)


def percent(share: float | None) -> str:
    """The share in percent; a dash for None.

    >>> percent(0.5)
    '50.0 %'
    """
    return "-" if share is None else f"{100 * share:.1f} %"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is aligned on the left and whose other columns are aligned on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
