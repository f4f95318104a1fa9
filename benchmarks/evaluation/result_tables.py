"""Results as Markdown tables that also read well as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchmarks.printed_numbers import PrintedNumber, printed_beside

if TYPE_CHECKING:
    from benchmarks.evaluation.results import DirectionResult, JointResult, TaskResult


def result_tables(result: TaskResult, *, printed: bool) -> Iterator[str]:
    """The lines of the tables of a result.

    Args:
        result: What to show.
        printed: Also what the papers print for the same task and method, and where.
    """
    yield from _markdown(_directions(result, printed=printed), text=("direction", "kind"))
    for joint in result.joint:
        first, second = joint.targets
        about = (
            f"heads of {joint.source}, {first} and {second} of {joint.clips} clips: mean F1 of a clip in %"
        )
        yield from ("", about, "", *_markdown(_joint(joint), text=("by",)))
    if printed:
        found = [number for row in result.directions if (number := _printed_beside(result, row)) is not None]
        sources = dict.fromkeys(number.source for number in found)
        yield from ("", f"PRINTED, on other data: {'; '.join(sources) or 'nothing to compare with'}")


def _directions(result: TaskResult, *, printed: bool) -> list[list[str]]:
    """Header, a row for each direction, and floors."""
    rows = [_cells(result, row, printed=printed) for row in result.directions]
    table = [list(rows[0]), *(list(row.values()) for row in rows)]
    for name, value in (("chance", result.chance), ("majority class", result.majority)):
        if value is not None:
            table.append([name, _number(value), *["-"] * (len(table[0]) - 3), "floor"])
    return table


def _cells(result: TaskResult, row: DirectionResult, *, printed: bool) -> dict[str, str]:
    """Header of each column -> what it says of one direction."""
    cells = {"direction": f"{row.source} -> {row.target}", _title(row.metric): _number(row.mean)}
    if result.seeds:
        cells["std"] = _number(row.std)
    if result.bootstrap is not None:
        interval = "-" if row.interval is None else f"{row.interval[0]:.1f} to {row.interval[1]:.1f}"
        cells[f"{result.bootstrap.percent:g} % interval"] = interval
    cells |= {_title(name): _number(measure.mean) for name, measure in row.others.items()}
    if result.majority is None:
        cells["constant %"] = _number(row.constant)
    if printed:
        number = _printed_beside(result, row)
        cells["printed"] = "-" if number is None else _printed(number.value)
    return cells | {"kind": row.kind}


def _joint(joint: JointResult) -> list[list[str]]:
    """Header, and a row for each unit that is counted: the first words of the measures."""
    units = dict.fromkeys(name.split()[0] for name in joint.measures)
    columns = dict.fromkeys(name.split()[1] for name in joint.measures)
    body = [[f"{unit}s", *(_number(joint.measures[f"{unit} {c}"].mean) for c in columns)] for unit in units]
    return [["by", *columns], *body]


def _printed_beside(result: TaskResult, row: DirectionResult) -> PrintedNumber | None:
    return printed_beside(
        result.task,
        (row.source, row.target),
        row.metric,
        result.checkpoint.method,
        toc=result.toc is not None,
    )


def _title(name: str) -> str:
    """The header of a measure; places in a ranking are no percentages."""
    words = name.replace("_", " ")
    return words if words.endswith("rank") else f"{words} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _printed(value: float) -> str:
    """With the decimals of the paper: one, or for retrieval two."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def _markdown(rows: Sequence[Sequence[str]], text: Sequence[str]) -> Iterator[str]:
    """Header first; columns named in `text` are text, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<" if name in text else ">" for name in rows[0]]
    rule = "|".join(
        f":{'-' * (w + 1)}" if s == "<" else f"{'-' * (w + 1)}:" for s, w in zip(sides, widths, strict=True)
    )
    for number, row in enumerate(rows):
        yield "| " + " | ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths, strict=True)) + " |"
        if number == 0:
            yield f"|{rule}|"
