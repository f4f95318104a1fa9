"""What others published, to put beside what is measured here: numbers on other data, see `tables.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unicode_cmg.config import load_yaml

_TABLES = Path(__file__).with_name("tables.yaml")
_PRINTED_AS = {"f1_micro": "f1"}
"""Measures of ours that no paper has -> the one that comes closest."""


@dataclass(frozen=True)
class PrintedNumber:
    """One cell of a table.

    Attributes:
        paper: "FCID" or "TOC".
        table: Its number in the paper.
        about: What the table compares.
        row: Name of the row.
        task: As for `evaluate`, or a task that this library does not have; "average" is the last column.
        direction: Such as "video->audio"; "audio<->text" is the mean of two; empty for averages.
        measure: Such as "accuracy"; empty for averages.
        setting: What else sets a column apart, such as "24K"; mostly empty.
        value: As printed.
        method: The method of this library that the row is about; None for others.
        toc: Whether with TOC.
    """

    paper: str
    table: str
    about: str
    row: str
    task: str
    direction: str
    measure: str
    setting: str
    value: float
    method: str | None
    toc: bool

    @property
    def source(self) -> str:
        """Where it stands, such as "table 1 of the FCID paper, row DCID"."""
        mean = ", mean of both directions" if "<->" in self.direction else ""
        return f"table {self.table} of the {self.paper} paper, row {self.row}{mean}"


@cache
def printed_numbers() -> tuple[PrintedNumber, ...]:
    """All of them, in the order of the tables.

    >>> len(printed_numbers())
    794
    """
    content = load_yaml(_TABLES)
    return tuple(number for table in content["tables"] for number in _of_table(table, content["columns"]))


def printed_beside(
    task: str, direction: tuple[str, str], measure: str, method: str, *, toc: bool
) -> PrintedNumber | None:
    """The number that a result of ours can be put beside, if there is one.

    Args:
        task: Name of the task.
        direction: Source and target modality.
        measure: Name of our measure; F1 over all decisions is put beside the released F1.
        method: Name of the method, such as "dcid".
        toc: Whether with TOC.
    """
    wanted = {"->".join(direction), "<->".join(sorted(direction))}
    for number in printed_numbers():
        ours = (number.task, number.method, number.toc) == (task, method, toc)
        if ours and number.direction in wanted and number.measure == _PRINTED_AS.get(measure, measure):
            return number
    return None


def _of_table(table: dict[str, Any], columns: dict[str, list[str]]) -> Iterator[PrintedNumber]:
    names = table["columns"] if isinstance(table["columns"], list) else columns[table["columns"]]
    for row, values in table["rows"].items():
        ours = table.get("ours", {}).get(row, {})
        for name, value in zip(names, values, strict=True):
            place, _, setting = name.partition(", ")
            task, direction, measure = (*place.split(), "", "")[:3]
            yield PrintedNumber(
                paper=table["paper"],
                table=table["table"],
                about=table["about"],
                row=row,
                task=task,
                direction=direction,
                measure=measure,
                setting=setting,
                value=value,
                method=ours.get("method"),
                toc=ours.get("toc", False),
            )
