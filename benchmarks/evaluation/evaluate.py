"""Cross-modal generalization: train a head on one modality's codes, test it on another's."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from benchmarks.evaluation.layers import resolve_layers
from benchmarks.evaluation.protocols import DIMENSIONS_CHOSEN, Protocol
from benchmarks.evaluation.results import TaskResult
from benchmarks.evaluation.task_codes import encode_task
from benchmarks.refinement import Refinement, Use, match_selections, refined, summary, view_of
from benchmarks.tasks import resolve_protocol, resolve_task
from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.errors import InputError
from unicode_cmg.model import Model
from unicode_cmg.results import (
    Bootstrap,
    CheckpointSummary,
    DataSummary,
    DirectionResult,
    HeadConfig,
    Seconds,
)


def evaluate(
    model: Model,
    task: str,
    data_root: str | Path,
    protocol: str | Protocol = "held-out",
    seeds: Sequence[int] = (0, 1, 2),
    toc: Refinement | Sequence[Refinement] | None = None,
    directions: Sequence[str | tuple[str, str]] | None = None,
    head: HeadConfig | None = None,
    *,
    code_layers: Sequence[str] | None = None,
    toc_use: str = "slice",
    permute_codes_seed: int | None = None,
    exclude: Collection[str] | str | Path = (),
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
        toc: `toc.json`, or the selection in it; one for each evaluated code layer. Or `"auto"`: each codebook
            is refined here, and keeps as many dimensions as `toc.optimize` finds right. Heads then see the
            kept dimensions only.
        toc_use: `"slice"`, as in the papers: a step keeps the code it has in all dimensions. `"requantize"`:
            it gets the code that is nearest in the kept dimensions to what the layer quantized; each residual
            codebook decides anew for the vector it was given.
        directions: Such as `["video->audio"]`; all between the common modalities by default. A modality with
            itself is the ceiling.
        head: How heads are trained; the protocol's own way by default.
        code_layers: The code layers that heads see, such as `["layer1"]`; all by default.
        permute_codes_seed: Control experiment: within the target modality the codes in use are renamed at
            random, anew for each head, so that any transfer that rests on shared codes must fall to chance.
            Rows of a modality with itself are left alone.
        exclude: Ids of videos to leave out of every split, or a file with one a line, such as the `ids.txt`
            of the feature store the model was pretrained on.

    Raises:
        InputError: A name is unknown, the data is damaged or does not fit the model, `toc` was made for
            another codebook or for a layer that has none, or there is a `toc_use` without `toc`.
    """
    started = time.perf_counter()
    _check_seeds(seeds)
    task = resolve_task(task, data_root)
    rule = resolve_protocol(protocol, task)
    if rule.head_config is None and head is not None:
        raise InputError(f"settings of a head for task {task}", expected="none: this task trains no head")
    known_layers = model.code_layers()
    seen = resolve_layers(code_layers, known_layers)
    selections = None if toc is None else match_selections(toc, model.codebooks(), seen)
    use = _resolve_use(toc_use, selections)
    encoded = encode_task(
        model, task, data_root, rule, directions, seen, exclude, with_unquantized=use == "requantize"
    )
    setting = encoded.setting(
        seeds, head, permute_codes_seed=permute_codes_seed, bootstrap=None if rule.leaks else Bootstrap()
    )
    codes = encoded.codes
    if selections is not None:
        views = [view_of(s, use, encoded.codebooks[layer]) for layer, s in selections.items()]
        codes = {modality: refined(clips, views) for modality, clips in codes.items()}
    encode_seconds = time.perf_counter() - started

    heads_started = time.perf_counter()
    scored = encoded.data.score(setting, codes)
    heads_seconds = time.perf_counter() - heads_started

    data, dropped = encoded.data, encoded.dropped
    chance = rule.chance(len(data.classes))
    used = {split: {m: len(r) for m, r in part.items()} for split, part in encoded.rows.items()}
    differ = any(len(set(part.values())) > 1 for part in (*used.values(), *dropped.values()))
    return TaskResult(
        task=task,
        protocol=rule.name,
        leaks=rule.leaks,
        departures=rule.departures,
        cautions=rule.cautions + (() if selections is None else DIMENSIONS_CHOSEN),
        seeds=() if setting.head is None else tuple(seeds),
        classes=data.classes,
        chance=chance,
        majority=None if chance is None else _common_constant(scored.directions),
        directions=scored.directions,
        joint=scored.joint,
        bootstrap=setting.bootstrap,
        permute_codes_seed=permute_codes_seed,
        code_layers=seen,
        toc=None if selections is None else tuple(summary(s, use) for s in selections.values()),
        head=setting.head,
        data=DataSummary(
            root=data.root,
            fingerprint=data.fingerprint(),
            counts=_named(used, by_modality=differ),
            dropped=_named(dropped, by_modality=differ),
        ),
        checkpoint=CheckpointSummary(
            method=model.name, fingerprint=state_fingerprint(model), code_layers=known_layers
        ),
        seconds=Seconds(encode=encode_seconds, heads=heads_seconds, total=time.perf_counter() - started),
    )


def _resolve_use(toc_use: str, selections: object) -> Use:
    if toc_use == "slice":
        return "slice"
    if toc_use != "requantize":
        raise InputError(f"toc_use is '{toc_use}'", expected="slice or requantize")
    if selections is None:
        raise InputError(
            "toc_use is 'requantize', and there is no TOC selection", fix="give the selection, or 'auto'"
        )
    return "requantize"


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
