"""The report of a run: `results.json` for programs and one self-contained HTML page for people."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.page import render
from benchmarks.report.run_files import read_run, results_of
from benchmarks.report.slots import run_slots
from unicode_cmg.files import write_json, write_text

RESULTS, PAGE = "results.json", "report.html"


def build_report(run: str | Path) -> Path:
    """Write `results.json` and `report.html` of a run, finished or not, into its folder.

    Returns:
        The path of the page.

    Raises:
        InputError: The folder is no run, one of its files is damaged, or it cannot be written to.
    """
    files = read_run(Path(run))
    slots = run_slots(files)
    results = results_of(files, slots.to_json() if slots else None)
    write_json(files.path / RESULTS, results)
    write_text(files.path / PAGE, render(files, results, slots))
    return files.path / PAGE


__all__ = ["PAGE", "RESULTS", "build_report"]
