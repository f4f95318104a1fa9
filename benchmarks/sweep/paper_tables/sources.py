"""Where the results of a table come from: files, and runs that hold some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evaluation.results import TaskResult
from benchmarks.report.record import CODES_FILE
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json


@dataclass(frozen=True)
class Source:
    """One result.

    Attributes:
        path: Its file.
        row: Name of its row; empty to name it after its method.
        result: What the file holds.
    """

    path: Path
    row: str
    result: TaskResult


def read_sources(given: Iterable[str]) -> list[Source]:
    """Read results.

    Args:
        given: Files and run folders; `NAME=PATH` gives the row a name. Of a run all of `evaluation/` counts.

    Raises:
        InputError: A file is missing or no result, or a folder holds none.
    """
    sources = []
    for text in given:
        row, path = _named(text)
        sources += [
            Source(file, row, TaskResult.from_json(read_json(file), where=file)) for file in _files(path)
        ]
    return sources


def _named(text: str) -> tuple[str, Path]:
    """A name and a path; a path that exists may have an equals sign itself."""
    name, sign, path = text.partition("=")
    return ("", Path(text)) if not sign or Path(text).exists() else (name.strip(), Path(path))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in (path / "evaluation").glob("*.json") if file.name != CODES_FILE)
    if not files:
        raise InputError(
            "no evaluation in this folder",
            where=path,
            expected="a run with results in its evaluation/",
            fix="run 'unicode-cmg evaluate ... --to RUN/evaluation/TASK.json'",
        )
    return files
