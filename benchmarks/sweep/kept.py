"""The results of one run on disk; what is there is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.refinement import Size, Way
from benchmarks.refinement.comparison import ALL, RefinedResult
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, write_json

_FORMAT_VERSION = 2


class KeptResults:
    """A result file: all dimensions and every refinement, for each task and each way to read the codes.

    A refinement is known by its settings and its size, not by its name, so that it may be renamed.
    """

    def __init__(self, file: Path, values: dict[str, Any]) -> None:
        self._file, self._values = file, values

    @classmethod
    def open(
        cls, file: Path, settings: Mapping[str, Any], completed: Callable[[Mapping[str, Any]], Any] = dict
    ) -> KeptResults:
        """Read a file, or begin one.

        Args:
            file: The file.
            settings: Of the run.
            completed: Brings settings that were kept before to what there is now.

        Raises:
            InputError: It holds a run with other settings.
        """
        if not file.exists():
            values = {"format_version": _FORMAT_VERSION, "settings": dict(settings), "seconds": None}
            return cls(file, {**values, "same_code": {}, "results": []})
        values = read_json(file)
        if values.get("format_version") != _FORMAT_VERSION:
            raise InputError("a result of another version", where=file, fix="remove it and run again")
        if completed(values["settings"]) != settings:
            raise InputError("holds a run with other settings", where=file.parent, fix="choose another --to")
        return cls(file, values)

    @property
    def seconds(self) -> float | None:
        """Wall-clock time of pretraining."""
        seconds: float | None = self._values["seconds"]
        return seconds

    @seconds.setter
    def seconds(self, value: float | None) -> None:
        self._values["seconds"] = value

    def same_code(self, read: str) -> float | None:
        """See `Outcome`."""
        shared: float | None = self._values["same_code"].get(read)
        return shared

    def missing(self, read: str, task: str, ways: Mapping[str, Way]) -> dict[str, Way] | None:
        """What is not there of a task: ways with the sizes that lack; None if nothing is missing.

        An empty mapping stands for all dimensions.
        """
        there = {_key(e["way"], e["row"]["asked"]) for e in self._of(read, task)}
        lacking = {}
        for name, way in ways.items():
            sizes = tuple(size for size in way.keep if _key(_settings(way), size) not in there)
            if sizes:
                lacking[name] = way.model_copy(update={"keep": sizes})
        return lacking if lacking or not there else None

    def add(
        self,
        read: str,
        task: str,
        rows: Iterable[RefinedResult],
        ways: Mapping[str, Way],
        same_code: float | None,
    ) -> None:
        """Keep what was measured; what is there already stays as it is."""
        there = {_key(e["way"], e["row"]["asked"]) for e in self._of(read, task)}
        for row in rows:
            settings = None if row.refinement == ALL else _settings(ways[row.refinement])
            if _key(settings, row.asked) not in there:
                entry = {"read": read, "task": task, "way": settings, "row": row.model_dump(mode="json")}
                self._values["results"].append(entry)
        self._values["same_code"][read] = same_code
        write_json(self._file, self._values)

    def rows(self, read: str, task: str, ways: Mapping[str, Way]) -> list[RefinedResult]:
        """All dimensions, then every size of the ways, under their names."""
        by_key: dict[str, list[dict[str, Any]]] = {}
        for entry in self._of(read, task):
            by_key.setdefault(_key(entry["way"], entry["row"]["asked"]), []).append(entry["row"])
        wanted = [(ALL, _key(None, None))]
        wanted += [(name, _key(_settings(way), size)) for name, way in ways.items() for size in way.keep]
        return [
            RefinedResult.parse({**row, "refinement": name}, where=self._file)
            for name, key in wanted
            for row in by_key[key]
        ]

    def _of(self, read: str, task: str) -> list[dict[str, Any]]:
        return [e for e in self._values["results"] if (e["read"], e["task"]) == (read, task)]


def _settings(way: Way) -> dict[str, Any]:
    return way.model_dump(mode="json", exclude={"keep"})


def _key(settings: Mapping[str, Any] | None, asked: Size | None) -> str:
    """Equal for equal refinements; 1 dimension and a fraction of 1.0 are not the same."""
    return f"{sorted(settings.items()) if settings else None} {asked!r}"
