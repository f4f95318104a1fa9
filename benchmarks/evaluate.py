"""Cross-modal generalization: train a head on one modality's codes, test it on another's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from benchmarks.directions import Direction, resolve_directions
from benchmarks.encoding import EncodedClips, encode_clips, state_fingerprint
from benchmarks.heads import FittedHeads, HeadConfig, fit_heads
from benchmarks.metrics import accuracy, majority_accuracy, mean_and_std
from benchmarks.protocols import Protocol, resolve_protocol
from benchmarks.refinement import Refinement, kept_dims, match_selections, summary
from benchmarks.results import CheckpointSummary, DataSummary, DirectionResult, Seconds, TaskResult
from benchmarks.tasks import ClipTask, read_task
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method


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
    permute_codes_seed: int | None = None,
) -> TaskResult:
    """Measure how well heads trained on one modality's codes classify another's.

    The frozen encoder runs once for each modality, in evaluation mode, on the model's device; the heads of
    all seeds train on the cached codes.

    Args:
        model: A pretrained method.
        task: One of `available_tasks()`.
        data_root: Folder of the data set.
        protocol: `"held-out"`: the head trains on training clips of the source modality, its epoch is chosen
            on validation clips of the source modality (no label of the target modality is ever used), the
            number comes from test clips of the target modality, and videos never sit on both sides.
            `"paper"`: the released recipe with its leaks, which the result lists.
        seeds: Seeds of the heads: initial weights and order of the batches.
        toc: `toc.json`, or the selection in it; one for each codebook layer. Heads then see the kept
            dimensions of the quantized vectors only. Which code a vector is quantized to does not change (as
            in the papers).
        directions: Such as `["video->audio"]`; all between the common modalities by default. A modality with
            itself is the ceiling.
        head: How heads are trained; the protocol's own way by default.
        permute_codes_seed: Control experiment: within the target modality the codes in use are renamed at
            random, anew for each head, so that any transfer that rests on shared codes must fall to chance.
            Rows of a modality with itself are left alone.

    Raises:
        InputError: A name is unknown, the data is damaged or does not fit the model, or `toc` was made for
            another codebook.
    """
    started = time.perf_counter()
    rule = resolve_protocol(protocol)
    head = rule.head if head is None else head
    _check_seeds(seeds)
    selections = None if toc is None else match_selections(toc, model.codebooks())
    data = read_task(task, data_root)
    pairs = resolve_directions(directions, model.modalities, data.modalities)
    rows, dropped = _split_rows(data, rule)

    needed = np.unique(np.concatenate(list(rows.values())))
    keep = None if selections is None else [kept_dims(s) for s in selections.values()]
    encoded = {
        modality: encode_clips(model, modality, needed, data.features, data.mask, keep)
        for modality in dict.fromkeys(m for pair in pairs for m in pair)
    }
    encode_seconds = time.perf_counter() - started

    heads_started = time.perf_counter()
    results = _direction_results(data, rule, rows, encoded, pairs, seeds, head, permute_codes_seed)
    heads_seconds = time.perf_counter() - heads_started

    report_labels, train_labels = data.labels(rows[rule.report]), data.labels(rows[rule.train])
    return TaskResult(
        task=task,
        protocol=rule.name,
        leaks=rule.leaks,
        departures=rule.departures,
        seeds=tuple(seeds),
        classes=data.classes,
        chance=100.0 / len(data.classes),
        majority=majority_accuracy(train_labels, report_labels),
        directions=results,
        permute_codes_seed=permute_codes_seed,
        toc=None if selections is None else tuple(summary(s) for s in selections.values()),
        head=head,
        data=DataSummary(
            root=data.root,
            fingerprint=data.fingerprint(),
            counts={split: len(r) for split, r in rows.items()},
            dropped=dropped,
        ),
        checkpoint=CheckpointSummary(method=model.name, fingerprint=state_fingerprint(model)),
        seconds=Seconds(encode=encode_seconds, heads=heads_seconds, total=time.perf_counter() - started),
    )


def _direction_results(
    data: ClipTask,
    rule: Protocol,
    rows: dict[str, Int64[np.ndarray, " _"]],
    encoded: dict[str, EncodedClips],
    pairs: Sequence[Direction],
    seeds: Sequence[int],
    head: HeadConfig,
    permute_codes_seed: int | None,
) -> tuple[DirectionResult, ...]:
    labels = {split: data.labels(r) for split, r in rows.items()}
    fitted: dict[Direction, FittedHeads] = {}
    for source in dict.fromkeys(pair.source for pair in pairs):
        targets = [pair.target for pair in pairs if pair.source == source]
        chooser = {target: source if rule.select_on == "source" else target for target in targets}
        by_chooser = fit_heads(
            encoded[source].labelled(rows[rule.train], labels[rule.train]),
            {
                m: encoded[m].labelled(rows[rule.select], labels[rule.select])
                for m in dict.fromkeys(chooser.values())
            },
            classes=len(data.classes),
            seeds=seeds,
            config=head,
        )
        fitted.update({Direction(source, target): by_chooser[chooser[target]] for target in targets})

    results = []
    for pair in pairs:
        transfer = pair.source != pair.target
        permutations = None
        if transfer and permute_codes_seed is not None:
            permutations = _permutations(encoded[pair.target], seeds, permute_codes_seed)
        clips = encoded[pair.target].labelled(rows[rule.report], labels[rule.report])
        predictions, _ = fitted[pair].heads.predict(clips, permutations)
        per_seed = tuple(accuracy(labels[rule.report], p) for p in predictions.cpu().numpy())
        mean, std = mean_and_std(per_seed)
        results.append(
            DirectionResult(
                source=pair.source,
                target=pair.target,
                kind="transfer" if transfer else "same-modality",
                mean=mean,
                std=std,
                per_seed=per_seed,
                epochs_selected=fitted[pair].epochs,
            )
        )
    return tuple(results)


def _split_rows(data: ClipTask, rule: Protocol) -> tuple[dict[str, Int64[np.ndarray, " _"]], dict[str, int]]:
    """Rows of each split the protocol reads, and how many were left out of it."""
    shared = data.shared_rows() if rule.drop_shared else np.array([], dtype=np.int64)
    kept, dropped = {}, {}
    for split in dict.fromkeys((rule.train, rule.select, rule.report)):
        rows = data.rows(split)
        kept[split] = rows[~np.isin(rows, shared)]
        dropped[split] = len(rows) - len(kept[split])
        if len(kept[split]) == 0:
            raise InputError(
                f"the {split} split has no clip left whose video is in no other split", where=data.root
            )
    return kept, dropped


def _permutations(clips: EncodedClips, seeds: Sequence[int], permute_seed: int) -> list[Tensor]:
    """Per layer, `[S, U]`: a random order of the codes in use for each head."""
    device = clips.indices.device
    generators = [torch.Generator().manual_seed(permute_seed * 1_000_003 + seed) for seed in seeds]
    return [
        torch.stack([torch.randperm(len(table), generator=g) for g in generators]).to(device)
        for table in clips.tables
    ]


def _check_seeds(seeds: Sequence[int]) -> None:
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(
            f"the seeds are {list(seeds)}", expected="one or more different whole numbers, such as 0,1,2"
        )
