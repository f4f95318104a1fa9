"""The files of a run folder, read once, and `results.json`, which holds their numbers in one document."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from benchmarks.evaluation.results import TaskResult
from benchmarks.refinement.views import codebook_errors
from toc import CodeMerge, TOCSelection
from unicode_cmg.config import Config, load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, read_text
from unicode_cmg.inspect import DescribedCodes
from unicode_cmg.inspect.codes.describe import CODES_FOLDER, CODES_JSON
from unicode_cmg.training.diagnosis import Verdict, read_verdict
from unicode_cmg.version import VERSION

Json = dict[str, Any]
STAGES_FILE = "quickstart.json"
_LIBRARIES = ("torch", "numpy", "scikit-learn", "accelerate", "pydantic", "safetensors", "matplotlib")


class Stage(Config):
    """A stage of a quickstart."""

    name: str
    seconds: float


class QuickstartNotes(Config):
    """What a quickstart wrote to `quickstart.json`."""

    format_version: Literal[1] = 1
    command: str = ""
    day: date | None = None
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class RunFiles:
    """A run folder; what the run has not reached yet is empty.

    Attributes:
        path: The folder.
        config: `config.yaml`.
        metrics: The lines of `metrics.jsonl`, oldest first.
        evaluations: The evaluations, by the name of their file.
        codes: `codes/codes.json`: what the codes stand for; None if it is not there.
        toc: `toc/toc.json`: the dimensions that TOC kept; None if it is not there.
        merges: `merge/merge.json`, and `merge/NAME/merge.json` of each codebook: the merged codes.
        stages: Name and seconds of each stage of a quickstart.
        verdict: Whether training goes well; None if the run has no end yet and nothing is wrong so far.
        command: The command that made the run; empty where it was not recorded.
        day: The day on which the run ended, in UTC.
    """

    path: Path
    config: Json
    metrics: list[Json]
    evaluations: Mapping[str, TaskResult]
    codes: DescribedCodes | None
    toc: TOCSelection | None
    merges: tuple[CodeMerge, ...]
    stages: list[Json]
    verdict: Verdict | None
    command: str
    day: date

    @property
    def digits(self) -> Path | None:
        """The folder with the embedded digits that the run was trained on; None if its data are others."""
        store = self.config.get("data", {}).get("store")
        folders = [self.path / "data", *([Path(store).parent] if store else [])]
        return next((folder for folder in folders if (folder / "digits.json").is_file()), None)

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities that the configuration declares."""
        return list(self.config.get("method", {}).get("modalities", {}))

    @property
    def last_loss(self) -> Json | None:
        """The last line of the log that has losses."""
        return next((line for line in reversed(self.metrics) if "loss" in line), None)


def read_run(path: Path) -> RunFiles:
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
    codes, toc, stages = path / CODES_FOLDER / CODES_JSON, path / "toc" / "toc.json", path / STAGES_FILE
    notes = QuickstartNotes.parse(read_json(stages) if stages.is_file() else {}, where=stages)
    verdict = read_verdict(path)
    metrics = path / "metrics.jsonl"
    newest = metrics if metrics.is_file() else path / "config.yaml"
    modified = datetime.fromtimestamp(newest.stat().st_mtime, UTC)
    with codebook_errors(None):
        selection = TOCSelection.load(toc) if toc.is_file() else None
        merges = [
            CodeMerge.load(file)
            for pattern in ("merge.json", "*/merge.json")
            for file in sorted((path / "merge").glob(pattern))
        ]
    return RunFiles(
        path=path,
        config=load_yaml(path / "config.yaml"),
        metrics=_read_lines(metrics),
        evaluations={
            file.stem: TaskResult.from_json(read_json(file), where=file)
            for file in sorted((path / "evaluation").glob("*.json"))
        },
        codes=DescribedCodes.parse(read_json(codes), where=codes) if codes.is_file() else None,
        toc=selection,
        merges=tuple(merges),
        stages=[stage.model_dump() for stage in notes.stages],
        verdict=verdict if verdict and (verdict.finished or verdict.findings) else None,
        command=notes.command,
        day=notes.day or modified.date(),
    )


def _read_lines(path: Path) -> list[Json]:
    """One object per line; a last line without its end was cut off when the run stopped, and is left out."""
    if not path.is_file() or path.stat().st_size == 0:
        return []
    records = []
    for number, line in enumerate(read_text(path).split("\n")[:-1], start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"line {number} is not valid JSON ({error.msg})", where=path) from None
    return records


def results_of(run: RunFiles, slots: Json | None) -> Json:
    """The content of `results.json`; parts that the run has not reached are null or empty.

    Args:
        run: The run.
        slots: The numbers of the section about slots; None where there are none.
    """
    training = ("step", "epoch", "seconds", "loss", "codebook")
    return {
        "format_version": 1,
        "library_version": VERSION,
        "run": run.path.resolve().name,
        "config": run.config,
        "training": {key: run.last_loss[key] for key in training if key in run.last_loss}
        if run.last_loss
        else None,
        "verdict": run.verdict.to_json() if run.verdict else None,
        "evaluations": {name: result.to_json() for name, result in run.evaluations.items()},
        "codes": run.codes.model_dump(mode="json", exclude={"codes"}) if run.codes else None,
        "toc": run.toc.to_json() if run.toc else None,
        "merge": [merge.to_json() for merge in run.merges],
        "slots": slots,
        "stages": run.stages,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """Python and the libraries that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # vendored or built without metadata
            continue
    return found
