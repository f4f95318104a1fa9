"""What a run folder holds, read once: the report and `results.json` are written from this record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.evaluation.code_usage import CodeUsage
from benchmarks.evaluation.results import TaskResult
from toc import TOCSelection
from unicode_cmg.config import load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, read_text

Json = dict[str, Any]
CODES_FILE, STAGES_FILE = "codes.json", "quickstart.json"


@dataclass(frozen=True)
class RunRecord:
    """A run folder; what the run has not reached yet is empty.

    Attributes:
        path: The folder.
        config: `config.yaml`.
        metrics: The lines of `metrics.jsonl`, oldest first.
        evaluations: The evaluations, by the name of their file.
        codes: `evaluation/codes.json`: who uses which code; None if it is not there.
        toc: `toc/toc.json`: the dimensions that TOC kept; None if it is not there.
        stages: Name and seconds of each stage of a quickstart.
    """

    path: Path
    config: Json
    metrics: list[Json] = field(default_factory=list)
    evaluations: Mapping[str, TaskResult] = field(default_factory=dict)
    codes: CodeUsage | None = None
    toc: TOCSelection | None = None
    stages: list[Json] = field(default_factory=list)

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities that the configuration declares."""
        return list(self.config.get("method", {}).get("modalities", {}))

    @property
    def last_loss(self) -> Json | None:
        """The last line of the log that has losses."""
        return next((line for line in reversed(self.metrics) if "loss" in line), None)


def read_run(path: Path) -> RunRecord:
    """Read a run folder, finished or not.

    Raises:
        InputError: The folder does not exist, is no run, or one of its files is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError("no such folder", where=path, expected="a run folder")
    if not (path / "config.yaml").is_file():
        raise InputError(
            "this folder is no run, it has no config.yaml",
            where=path,
            fix="give the folder that 'unicode-cmg pretrain' or 'unicode-cmg quickstart' wrote to",
        )
    folder = path / "evaluation"
    codes, toc = folder / CODES_FILE, path / "toc" / "toc.json"
    evaluations = {
        file.stem: TaskResult.from_json(read_json(file), where=file)
        for file in sorted(folder.glob("*.json"))
        if file.name != CODES_FILE
    }
    return RunRecord(
        path=path,
        config=load_yaml(path / "config.yaml"),
        metrics=_read_lines(path / "metrics.jsonl"),
        evaluations=evaluations,
        codes=CodeUsage.from_json(read_json(codes), where=codes) if codes.is_file() else None,
        toc=TOCSelection.load(toc) if toc.is_file() else None,
        stages=_read_object(path / STAGES_FILE).get("stages", []),
    )


def _read_object(path: Path) -> Json:
    if not path.is_file():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"a {type(value).__name__} at the top level", where=path, expected="an object")
    return value


def _read_lines(path: Path) -> list[Json]:
    """One object per line; a last line without its end was cut off when the run stopped, and is left out."""
    if not path.is_file() or path.stat().st_size == 0:
        return []
    text = read_text(path)
    lines = text.split("\n")[:-1]
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"line {number} is not valid JSON ({error.msg})", where=path) from None
    return records
