"""Cross-modal generalization: train a head on one modality's codes, test it on another's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from benchmarks.directions import resolve_directions
from benchmarks.encoding import encode_clips
from benchmarks.heads import HeadConfig
from benchmarks.layers import resolve_layers
from benchmarks.protocols import Protocol
from benchmarks.refinement import Refinement, kept_dims, match_selections, summary
from benchmarks.results import CheckpointSummary, DataSummary, DirectionResult, Seconds, TaskResult
from benchmarks.scoring import Setting
from benchmarks.tasks import Task, read_task, resolve_protocol
from unicode_cmg.checkpoints.fingerprint import state_fingerprint
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method

Rows = dict[str, dict[str, Int64[np.ndarray, " rows"]]]
"""Split -> modality -> rows."""


def evaluate(
    model: Method[Any],
    task: str,
    data_root: str | Path,
    protocol: str | Protocol = "held-out",
    seeds: Sequence[int] = (0, 1, 2),
    toc: Refinement | Sequence[Refinement] | None = None,
    directions: Sequence[str | tuple[str, str]] | None = None,
    head: HeadConfig | None = None,
    *,
    layers: Sequence[str] | None = None,
    permute_codes_seed: int | None = None,
) -> TaskResult:
    """Measure how well heads trained on one modality's codes do on another's.

    The frozen encoder runs once for each modality, in evaluation mode, on the model's device; the heads of
    all seeds train on the cached codes.

    Args:
        model: A pretrained method.
        task: One of `available_tasks()`.
        data_root: Folder of the data set.
        protocol: One of `available_protocols(task)`. `"held-out"`: the head trains on training clips of the
            source modality, its epoch is chosen on validation clips of the source modality (no label of the
            target modality is ever used), the number comes from test clips of the target modality, and videos
            never sit on both sides. `"paper"`: the released recipe with its leaks, which the result lists.
        seeds: Seeds of the heads: initial weights and order of the batches.
        toc: `toc.json`, or the selection in it; one for each evaluated code layer. Heads then see the kept
            dimensions of the quantized vectors only. Which code a vector is quantized to does not change (as
            in the papers).
        directions: Such as `["video->audio"]`; all between the common modalities by default. A modality with
            itself is the ceiling.
        head: How heads are trained; the protocol's own way by default.
        layers: The code layers that heads see, such as `["layer1"]`; all by default.
        permute_codes_seed: Control experiment: within the target modality the codes in use are renamed at
            random, anew for each head, so that any transfer that rests on shared codes must fall to chance.
            Rows of a modality with itself are left alone.

    Raises:
        InputError: A name is unknown, the data is damaged or does not fit the model, or `toc` was made for
            another codebook or for a layer that has none.
    """
    started = time.perf_counter()
    _check_seeds(seeds)
    rule = resolve_protocol(protocol, task)
    known_layers = model.code_layers()
    seen = resolve_layers(layers, known_layers)
    selections = None if toc is None else match_selections(toc, model.codebooks(), seen)
    data = read_task(task, data_root)
    pairs = resolve_directions(directions, model.modalities, data.modalities)
    modalities = tuple(dict.fromkeys(modality for pair in pairs for modality in pair))
    rows, dropped = _split_rows(data, rule, modalities)
    setting = Setting(
        rule=rule,
        classes=len(data.classes),
        pairs=pairs,
        rows=rows,
        labels={split: {m: data.labels(m, r) for m, r in part.items()} for split, part in rows.items()},
        seeds=seeds,
        head=rule.head if head is None else head,
        permute_codes_seed=permute_codes_seed,
    )

    keep = None if selections is None else {layer: kept_dims(s) for layer, s in selections.items()}
    encoded = {}
    for modality in modalities:
        needed = np.unique(np.concatenate([part[modality] for part in rows.values()]))
        encoded[modality] = encode_clips(model, modality, needed, data.features, data.mask, keep, seen)
    encode_seconds = time.perf_counter() - started

    heads_started = time.perf_counter()
    results = data.score(setting, encoded)
    heads_seconds = time.perf_counter() - heads_started

    chance = rule.objective.chance(len(data.classes))
    used = {split: {m: len(r) for m, r in part.items()} for split, part in rows.items()}
    differ = any(len(set(part.values())) > 1 for part in (*used.values(), *dropped.values()))
    return TaskResult(
        task=task,
        protocol=rule.name,
        leaks=rule.leaks,
        departures=rule.departures,
        seeds=tuple(seeds),
        classes=data.classes,
        chance=chance,
        majority=None if chance is None else _common_constant(results),
        directions=results,
        permute_codes_seed=permute_codes_seed,
        layers=seen,
        toc=None if selections is None else tuple(summary(s) for s in selections.values()),
        head=setting.head,
        data=DataSummary(
            root=data.root,
            fingerprint=data.fingerprint(),
            counts=_named(used, by_modality=differ),
            dropped=_named(dropped, by_modality=differ),
        ),
        checkpoint=CheckpointSummary(
            method=model.name, fingerprint=state_fingerprint(model), layers=known_layers
        ),
        seconds=Seconds(encode=encode_seconds, heads=heads_seconds, total=time.perf_counter() - started),
    )


def _split_rows(
    data: Task, rule: Protocol, modalities: Sequence[str]
) -> tuple[Rows, dict[str, dict[str, int]]]:
    """Rows of each split the protocol reads, and how many were left out of it."""
    kept: Rows = {}
    dropped: dict[str, dict[str, int]] = {}
    for split in rule.splits:
        for modality in modalities:
            listed = data.rows(modality, split)
            rows = listed
            if rule.drop_shared:
                rows = listed[~np.isin(listed, data.shared_rows(modality))]
            if len(rows) == 0:
                why = "" if len(listed) == 0 else " left whose video is in no other split"
                raise InputError(f"the {split} split has no {modality} clip{why}", where=data.root)
            kept.setdefault(split, {})[modality] = rows
            dropped.setdefault(split, {})[modality] = len(listed) - len(rows)
    return kept, dropped


def _named(counts: Mapping[str, Mapping[str, int]], *, by_modality: bool) -> dict[str, int]:
    """Counts under the name of their split, or of split and modality."""
    return {
        f"{split} {modality}" if by_modality else split: count
        for split, part in counts.items()
        for modality, count in part.items()
    }


def _common_constant(results: Sequence[DirectionResult]) -> float | None:
    """What a constant answer reaches, where that is the same in all directions."""
    values = {row.constant for row in results}
    return values.pop() if len(values) == 1 else None


def _check_seeds(seeds: Sequence[int]) -> None:
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(
            f"the seeds are {list(seeds)}", expected="one or more different whole numbers, such as 0,1,2"
        )
