"""The report of a run: `results.json` for programs and one self-contained HTML page for people."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.page import render
from benchmarks.report.record import read_run
from benchmarks.report.results import results_of
from benchmarks.report.slots import slots_view
from unicode_cmg.files import write_json, write_text

RESULTS, PAGE = "results.json", "report.html"


def build_report(run: str | Path) -> Path:
    """Write `results.json` and `report.html` of a run, finished or not, into its folder.

    Returns:
        The path of the page.

    Raises:
        InputError: The folder is no run, one of its files is damaged, or it cannot be written to.
    """
    run = Path(run)
    record = read_run(run)
    slots = slots_view(record)
    results = results_of(record, slots)
    write_json(run / RESULTS, results)
    write_text(run / PAGE, render(record, results, slots))
    return run / PAGE


__all__ = ["PAGE", "RESULTS", "build_report"]
