"""Measure one model: on every task, with all dimensions and every refinement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import code_usage
from benchmarks.evaluation.task_codes import encode_task
from benchmarks.refinement.comparison import compare
from benchmarks.sweep.kept import KeptResults
from benchmarks.sweep.runs import Measurements
from benchmarks.tasks import resolve_protocol, resolve_task
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method


def measure_run(
    model: Method[Any],
    read: str,
    chosen: tuple[str, ...],
    kept: KeptResults,
    measure: Measurements,
    data: Path,
) -> None:
    """Measure what is missing of one way to read a model, and keep it, task by task.

    Args:
        model: In evaluation mode.
        read: Name of the way to read it.
        chosen: Code layers that heads see; empty for all.
        kept: Where results are kept.
        measure: What to measure.
        data: Folder of the data sets.

    Raises:
        InputError: The model has no such code layer, or the data does not fit.
    """
    layers = _layers(chosen, tuple(model.code_layers()))
    for task in measure.tasks:
        ways = kept.missing(read, task, measure.refine)
        if ways is None:
            continue
        name = resolve_task(task, data)
        encoded = encode_task(
            model,
            name,
            data,
            resolve_protocol("held-out", name).reporting_on(measure.report),
            measure.directions,
            layers,
            with_unquantized=any(way.requantizes for way in ways.values()),
        )
        rows = compare(encoded, ways, measure.head_seeds, measure.head)
        shared = kept.same_code(read)
        if shared is None and "ave" in measure.tasks and {"audio", "video"} <= set(model.modalities):
            usage = code_usage(model, data, split=measure.report, layer=layers[0])
            same = {frozenset(a.modalities): a.steps for a in usage.agreement}
            shared = 100 * (same[frozenset({"audio", "video"})] or 0.0)
        kept.add(read, task, rows, ways, shared)


def _layers(chosen: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The code layers meant by names of layers; all of them by none."""
    if not chosen:
        return known
    found = tuple(k for k in known if any(k == name or k.startswith(f"{name}.") for name in chosen))
    if not found:
        raise InputError(
            f"no code layer '{chosen[0]}'", where="sweep: read", expected=f"some of {', '.join(known)}"
        )
    return found
