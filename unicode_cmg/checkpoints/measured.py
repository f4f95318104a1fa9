"""The numbers of a model, as `unicode-cmg evaluate` and `unicode-cmg report` write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json


class _Read(BaseModel):
    """A part of a result; what a card does not show is not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Direction(_Read):
    """One row: a head trained on the codes of `source`, tested on those of `target`."""

    source: str
    target: str
    kind: str
    metric: str = "accuracy"
    mean: float
    std: float | None

    @property
    def direction(self) -> str:
        """Both modalities, in the order of the experiment."""
        return f"{self.source} → {self.target}"


class Kept(_Read):
    """The dimensions TOC kept of one codebook."""

    layer: str
    kept: int
    n_dims: int
    use: str = "slice"

    def __str__(self) -> str:
        anew = " and chooses codes anew in them" if self.use == "requantize" else ""
        return f"TOC keeps {self.kept} of {self.n_dims} dimensions of {self.layer}{anew}"


class Checkpoint(_Read):
    """Which model made the codes."""

    fingerprint: str


class Evaluation(_Read):
    """One task under one protocol."""

    name: str
    task: str
    protocol: str
    leaks: tuple[str, ...]
    seeds: tuple[int, ...]
    directions: tuple[Direction, ...]
    permute_codes_seed: int | None = None
    toc: tuple[Kept, ...] | None
    checkpoint: Checkpoint

    def heading(self) -> str:
        """What was measured, in one line."""
        kept = "".join(f", {layer}" for layer in self.toc or ())
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"
        return f"{self.task}, protocol {self.protocol}, {seeds}{kept}"

    def view(self) -> dict[str, Any]:
        """What the card shows."""
        return {
            "heading": self.heading(),
            "metric": self.directions[0].metric.replace("_", " "),
            "leaks": self.leaks,
            "rows": [
                {
                    "direction": row.direction,
                    "mean": f"{row.mean:.1f}",
                    "std": "-" if row.std is None else f"{row.std:.1f}",
                    "kind": row.kind,
                }
                for row in self.directions
            ],
        }


def read_evaluations(path: Path) -> list[Evaluation]:
    """The evaluations of a run, without its control experiments.

    Args:
        path: A run folder (its `evaluation/`, else its `results.json`), a `results.json`, or the JSON file of
            one evaluation.

    Raises:
        InputError: There are none, or a file is damaged.
    """
    found = _documents(path)
    evaluations = [_parse(name, values, where) for name, values, where in found if _is_evaluation(values)]
    evaluations = [e for e in evaluations if e.permute_codes_seed is None and e.directions]
    if not evaluations:
        raise InputError(
            "there are no results of an evaluation here",
            where=path,
            expected="a run that was evaluated, its results.json, or what 'unicode-cmg evaluate --to' wrote",
        )
    return evaluations


def _documents(path: Path) -> list[tuple[str, Any, Path]]:
    """Name, content and file of every document that can be an evaluation."""
    if path.is_dir():
        singles = sorted((path / "evaluation").glob("*.json"))
        if singles:
            return [(file.stem, read_json(file), file) for file in singles]
        path = path / "results.json"
    values = read_json(path)
    if isinstance(values, dict) and isinstance(values.get("evaluations"), dict):
        return [(name, value, path) for name, value in values["evaluations"].items()]
    return [(path.stem, values, path)]


def _is_evaluation(values: Any) -> bool:
    return isinstance(values, dict) and "directions" in values


def _parse(name: str, values: dict[str, Any], where: Path) -> Evaluation:
    try:
        return Evaluation.model_validate({**values, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(
            f"'{key}' of the evaluation '{name}': {first['msg'].lower()}",
            where=where,
            expected="the JSON of 'unicode-cmg evaluate'",
        ) from None
