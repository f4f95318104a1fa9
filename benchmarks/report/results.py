"""`results.json`: everything a run measured, in one document for programs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import unicode_cmg
from benchmarks.report.record import RunRecord
from benchmarks.report.slots import SlotsView

FORMAT_VERSION = 1
_LIBRARIES = ("torch", "numpy", "scikit-learn", "accelerate", "pydantic", "safetensors", "matplotlib")


def results_of(record: RunRecord, slots: SlotsView | None) -> dict[str, Any]:
    """The document; parts the run has not reached are null or empty."""
    return {
        "format_version": FORMAT_VERSION,
        "library_version": unicode_cmg.__version__,
        "run": record.path.resolve().name,
        "config": record.config,
        "training": _training(record),
        "evaluations": {name: result.to_json() for name, result in record.evaluations.items()},
        "codes": record.codes.to_json() if record.codes else None,
        "toc": record.toc.to_json() if record.toc else None,
        "slots": slots.to_json() if slots else None,
        "stages": record.stages,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Python and the libraries that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # vendored or built without metadata
            continue
    return found


def _training(record: RunRecord) -> Mapping[str, Any] | None:
    logged = [line for line in record.metrics if "loss" in line]
    if not logged:
        return None
    last = logged[-1]
    return {key: last[key] for key in ("step", "epoch", "seconds", "loss", "codebook") if key in last}
