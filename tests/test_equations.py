"""The page of equations names functions that exist, and their docstrings cite the equations it says."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from places import DOCS

PAGE = (DOCS / "reference" / "equations.md").read_text(encoding="utf-8")
CITED = re.compile(r"(DCID|TOC|FCID|SGA) paper eqs?\. ((?:A?\d+(?:, | and | to )?)+)")
PRINTED = {
    "TOC": {str(n) for n in range(1, 15)} | {f"A{n}" for n in range(1, 9)},
    "FCID": {str(n) for n in range(1, 20)},
    "SGA": {str(n) for n in range(1, 10)},
}


def _numbers(text: str) -> set[str]:
    """The equations of `1, 12 and A5 to A7`."""
    found = set()
    for prefix, first, last in re.findall(r"(A?)(\d+)(?: to A?(\d+))?", text):
        found |= {f"{prefix}{n}" for n in range(int(first), int(last or first) + 1)}
    return found


def _rows() -> list[tuple[str, dict[str, set[str]]]]:
    """Function and equations by paper, of each row of the tables."""
    rows = []
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.MULTILINE):
        titles, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
        for line in lines:
            cells = dict(zip(titles, line, strict=True))
            papers = {t.split()[0]: _numbers(c) for t, c in cells.items() if t.endswith("paper")}
            papers |= {
                paper: papers.get(paper, set()) | _numbers(n) for paper, n in CITED.findall(cells["what"])
            }
            function = cells["function"].split("`")[1]
            rows.append((function, papers))
    return rows


ROWS = _rows()


def _named(path: str) -> Any:
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ImportError(path)


@pytest.mark.parametrize(("function", "papers"), ROWS, ids=[function for function, _ in ROWS])
def test_a_function_cites_its_equations(function: str, papers: dict[str, set[str]]) -> None:
    found = _named(function)
    assert f"{found.__module__}.{found.__qualname__}" == function
    cited: dict[str, set[str]] = {}
    for paper, numbers in CITED.findall(re.sub(r"\s+", " ", found.__doc__)):
        cited[paper] = cited.get(paper, set()) | _numbers(numbers)
    assert {p: n - cited.get(p, set()) for p, n in papers.items() if not n <= cited.get(p, set())} == {}


def test_every_printed_equation_has_a_row_or_is_said_to_be_left_out() -> None:
    left_out = {"TOC": {"5"}, "FCID": {"3"}}
    assert "Equation 5 of the TOC paper and 3 of the FCID paper" in PAGE
    for paper, printed in PRINTED.items():
        listed = set().union(*(papers.get(paper, set()) for *_, papers in ROWS))
        assert printed - listed == left_out.get(paper, set())
