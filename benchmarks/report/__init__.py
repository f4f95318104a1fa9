"""The report of a run: `results.json` for programs and one self-contained HTML page for people."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.page import render
from benchmarks.report.run_files import read_run, results_of
from benchmarks.report.slots import run_slots
from unicode_cmg.errors import InputError
from unicode_cmg.files import check_writable, write_json, write_text

RESULTS, PAGE = "results.json", "report.html"


def build_report(run: str | Path, *, features: str | Path | None = None) -> Path:
    """Write `results.json` and `report.html` of a run, finished or not, into its folder.

    Nothing outside of this folder is read because a file in it says so, and nothing is imported.

    Args:
        run: The folder.
        features: The feature store of the clips that the page draws; by default the one that the
            configuration names, if it lies in the folder.

    Returns:
        The path of the page.

    Raises:
        InputError: The folder is no run, one of its files is damaged, or it cannot be written to.
    """
    for name in (RESULTS, PAGE):
        if (Path(run) / name).is_dir():
            raise InputError("this is a folder", where=Path(run) / name, expected="a file to write")
    files = read_run(Path(run), None if features is None else Path(features))
    check_writable(files.path / PAGE)
    slots = run_slots(files)
    results = results_of(files, slots.to_json() if slots else None)
    page = render(files, results, slots)  # before anything is written
    write_json(files.path / RESULTS, results)
    write_text(files.path / PAGE, page)
    return files.path / PAGE


__all__ = ["PAGE", "RESULTS", "build_report"]
