"""The files of a run folder, read once, and `results.json`, which holds their numbers in one document."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from benchmarks.evaluation.results import TaskResult
from benchmarks.refinement.matching import codebook_errors
from toc import CodeMerge, TOCSelection
from unicode_cmg.config import Config, load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.files import inside, read_json
from unicode_cmg.inspect import DescribedCodes
from unicode_cmg.inspect.codes.describe import CODES_FOLDER, CODES_JSON
from unicode_cmg.training.diagnosis import VERDICT, Verdict, read_verdict
from unicode_cmg.training.metrics import read_metrics
from unicode_cmg.version import VERSION

Json = dict[str, Any]
STAGES_FILE = "quickstart.json"
_LIBRARIES = ("torch", "numpy", "scikit-learn", "accelerate", "pydantic", "safetensors", "matplotlib")


class _Named(Config):
    """A method or a regularizer of a configuration, as far as the page needs it."""

    model_config = ConfigDict(extra="allow")

    name: str = "unknown"
    modalities: dict[str, Any] = Field({})


class _Data(Config):
    """The data of a configuration."""

    model_config = ConfigDict(extra="allow")

    store: str | None = None
    val_store: str | None = None


class RunSettings(Config):
    """What the page needs of `config.yaml`, which is otherwise shown as it is: no class of it is imported."""

    model_config = ConfigDict(extra="allow")

    method: _Named = _Named()
    data: _Data = _Data()
    regularizers: tuple[_Named, ...] = ()
    training: dict[str, Any] = Field({})


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
        settings: What the page needs of it.
        metrics: The lines of `metrics.jsonl`, oldest first.
        evaluations: The evaluations, by the name of their file.
        codes: `codes/codes.json`: what the codes stand for; None if it is not there.
        toc: `toc/toc.json`: the dimensions that TOC kept; None if it is not there.
        merges: `merge/merge.json`, and `merge/NAME/merge.json` of each codebook: the merged codes.
        stages: Name and seconds of each stage of a quickstart.
        verdict: Whether training goes well; None if the run has no end yet and nothing is wrong so far.
        command: The command that made the run; empty where it was not recorded.
        day: The day on which the run ended, in UTC.
        features: The feature store that the user named; None for that of the configuration.
    """

    path: Path
    config: Json
    settings: RunSettings
    metrics: list[Json]
    evaluations: Mapping[str, TaskResult]
    codes: DescribedCodes | None
    toc: TOCSelection | None
    merges: tuple[CodeMerge, ...]
    stages: list[Json]
    verdict: Verdict | None
    command: str
    day: date
    features: Path | None = None

    @property
    def digits(self) -> Path | None:
        """The folder with the embedded digits that the run was trained on; None if its data are others."""
        store = self.features or self.own_store(self.settings.data.store)
        folders = [self.path / "data", *([store.parent] if store else [])]
        return next((folder for folder in folders if (folder / "digits.json").is_file()), None)

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities that the configuration declares."""
        return list(self.settings.method.modalities)

    def own_store(self, store: str | None) -> Path | None:
        """The path of a store that the configuration names, if it lies in the folder of the run."""
        if store is None:
            return None
        try:
            return inside(self.path, Path(store))
        except InputError:
            return None

    @property
    def last_loss(self) -> Json | None:
        """The last line of the log that has losses."""
        return next((line for line in reversed(self.metrics) if "loss" in line), None)


def read_run(path: Path, features: Path | None = None) -> RunFiles:
    """Read a run folder, finished or not.

    Args:
        path: The folder.
        features: The feature store that the user named, if any.

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
    evaluations = sorted((path / "evaluation").glob("*.json"))
    codes, toc, stages = path / CODES_FOLDER / CODES_JSON, path / "toc" / "toc.json", path / STAGES_FILE
    for record in (
        path / "config.yaml",
        path / "metrics.jsonl",
        codes,
        toc,
        stages,
        path / VERDICT,
        *evaluations,
    ):
        inside(path, record)  # a link could lead to any file of the user, whose content the page would show
    notes = QuickstartNotes.parse(read_json(stages) if stages.is_file() else {}, where=stages)
    verdict = read_verdict(path)
    metrics = path / "metrics.jsonl"
    newest = metrics if metrics.is_file() else path / "config.yaml"
    modified = datetime.fromtimestamp(newest.stat().st_mtime, UTC)
    with codebook_errors(None):
        selection = TOCSelection.load(toc) if toc.is_file() else None
        merges = [
            CodeMerge.load(inside(path, file))
            for pattern in ("merge.json", "*/merge.json")
            for file in sorted((path / "merge").glob(pattern))
        ]
    config = load_yaml(path / "config.yaml", extends=False)
    return RunFiles(
        path=path,
        config=config,
        settings=RunSettings.parse(config, where=path / "config.yaml"),
        metrics=read_metrics(metrics) if metrics.is_file() else [],
        evaluations={file.stem: TaskResult.from_json(read_json(file), where=file) for file in evaluations},
        codes=DescribedCodes.parse(read_json(codes), where=codes) if codes.is_file() else None,
        toc=selection,
        merges=tuple(merges),
        stages=[stage.model_dump() for stage in notes.stages],
        verdict=verdict if verdict and (verdict.finished or verdict.findings) else None,
        command=notes.command,
        day=notes.day or modified.date(),
        features=features,
    )


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
