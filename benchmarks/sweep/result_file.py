"""The results of one run on disk, so that nothing is measured twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.refinement import ALL, RefinedResult, Refiner, Size
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, write_json

_FORMAT_VERSION = 4


class ResultFile:
    """All dimensions and every refinement of one run, for each task and each selection of code layers.

    `read` names a selection of code layers, as in a sweep file. A refinement is recognized by its settings
    and its size, not by its name, so it may be renamed.

    Args:
        file: The file; it is read if it exists.
        settings: Of the run.
        completed: Adds the defaults of newer settings to the settings in an older file.

    Attributes:
        seconds: Wall-clock time of pretraining; None where that happened elsewhere.
        figures: `read` -> what was measured of the codes of its first code layer.

    Raises:
        InputError: It holds a run with other settings.
    """

    def __init__(
        self, file: Path, settings: Mapping[str, Any], completed: Callable[[Mapping[str, Any]], Any] = dict
    ) -> None:
        values: dict[str, Any] = read_json(file) if file.exists() else {"format_version": _FORMAT_VERSION}
        if values.get("format_version") != _FORMAT_VERSION:
            raise InputError("a result of another version", where=file, fix="remove it and run again")
        if completed(values.get("settings", settings)) != settings:
            raise InputError("holds a run with other settings", where=file.parent, fix="choose another --to")
        self.seconds: float | None = values.get("seconds")
        self.figures: dict[str, dict[str, float]] = values.get("figures", {})
        self._file, self._settings = file, dict(settings)
        self._results: list[dict[str, Any]] = values.get("results", [])

    def missing(self, read: str, task: str, refiners: Mapping[str, Refiner]) -> dict[str, Refiner] | None:
        """What is still to be measured of a task: refiners with missing sizes; None if nothing is missing.

        An empty mapping stands for all dimensions.
        """
        known = self._by_key(read, task)
        lacking = {}
        for name, refiner in refiners.items():
            sizes = tuple(size for size in refiner.keep if _key(_settings(refiner), size) not in known)
            if sizes:
                lacking[name] = refiner.model_copy(update={"keep": sizes})
        return lacking if lacking or not known else None

    def add(
        self, read: str, task: str, rows: Iterable[RefinedResult], refiners: Mapping[str, Refiner]
    ) -> None:
        """Add what was measured and write the file; results that exist stay as they are."""
        known = self._by_key(read, task)
        for row in rows:
            settings = None if row.refinement == ALL else _settings(refiners[row.refinement])
            if _key(settings, row.asked) not in known:
                entry = {"read": read, "task": task, "refiner": settings, "row": row.model_dump(mode="json")}
                self._results.append(entry)
        values = {"settings": self._settings, "seconds": self.seconds, "figures": self.figures}
        write_json(self._file, {"format_version": _FORMAT_VERSION, **values, "results": self._results})

    def rows(self, read: str, task: str, refiners: Mapping[str, Refiner]) -> list[RefinedResult]:
        """All dimensions, then every size of the refiners, under their names."""
        known = self._by_key(read, task)
        wanted = [(ALL, _key(None, None))]
        wanted += [
            (name, _key(_settings(refiner), size))
            for name, refiner in refiners.items()
            for size in refiner.keep
        ]
        return [
            RefinedResult.parse({**row, "refinement": name}, where=self._file)
            for name, key in wanted
            for row in known[key]
        ]

    def _by_key(self, read: str, task: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for entry in self._results:
            if (entry["read"], entry["task"]) == (read, task):
                found.setdefault(_key(entry["refiner"], entry["row"]["asked"]), []).append(entry["row"])
        return found


def _settings(refiner: Refiner) -> dict[str, Any]:
    return refiner.model_dump(mode="json", exclude={"keep"})


def _key(settings: Mapping[str, Any] | None, asked: Size | None) -> str:
    """Equal for equal refinements; 1 dimension and a fraction of 1.0 are not the same."""
    return f"{sorted(settings.items()) if settings else None} {asked!r}"
