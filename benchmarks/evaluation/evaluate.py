"""Cross-modal generalization: train a head on one modality's codes, test it on another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxtyping import Float
from torch import Tensor

from benchmarks.evaluation.clip_codes import resolve_code_layers
from benchmarks.evaluation.encode_task import encode_task
from benchmarks.evaluation.protocols import DIMENSIONS_CHOSEN, HeadProtocol, Protocol
from benchmarks.evaluation.results import TaskResult
from benchmarks.refinement.matching import Merge, Selection, match_merges, match_selections
from benchmarks.refinement.merging import merged_view
from benchmarks.refinement.views import LayerView, Use, refined, view_of
from benchmarks.tasks import Task, available_tasks, read_task
from toc import CodeMerge, TOCSelection
from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.encoding import check_level
from unicode_cmg.errors import InputError, one_of
from unicode_cmg.model import Model
from unicode_cmg.results import (
    Bootstrap,
    CheckpointSummary,
    HeadConfig,
    MergeSummary,
    Seconds,
    TOCSummary,
)

ALL = "all"


def evaluate(
    model: Model,
    task: str | Task,
    data_root: str | Path | None = None,
    protocol: str | Protocol = "held-out",
    seeds: Sequence[int] = (0, 1, 2),
    toc: Selection | Sequence[Selection] | None = None,
    directions: Sequence[str | tuple[str, str]] | None = None,
    head: HeadConfig | None = None,
    *,
    code_layers: Sequence[str] | None = None,
    level: str | None = None,
    toc_use: str = "slice",
    merge: Merge | Sequence[Merge] | None = None,
    permute_codes_seed: int | None = None,
    exclude: Collection[str] | str | Path = (),
    continuous: bool = True,
) -> TaskResult:
    """Measure how well heads trained on one modality's codes do on another's.

    Cross-modal generalization: FCID paper eqs. 1 and 2; TOC paper eqs. 3 and 4.

    The frozen encoder runs once for each modality, in evaluation mode, on the model's device; the heads of
    all seeds train on the cached codes.

    Args:
        model: A pretrained method.
        task: One of `available_tasks()`, or a task whose data is open.
        data_root: Folder of the data set; None with an open task.
        protocol: One of `available_protocols(task)`. `"held-out"`: the head trains on training clips of the
            source modality, its epoch is chosen on validation clips of the source modality (no label of the
            target modality is ever used), the number comes from test clips of the target modality, and videos
            never sit on both sides. `"paper"`: the released recipe with its leaks, which the result lists.
        seeds: Seeds of the heads: initial weights and order of the batches.
        toc: `toc.json`, or the selection in it; one for each evaluated code layer. Or `"auto"`: each codebook
            is refined here, and keeps as many dimensions as `toc.optimize` finds right. Heads then see the
            kept dimensions only.
        level: How fine the codes are, of a model that offers a choice (`model.levels`): with FCID
            `"segment"`, a code of each step, or `"clip"`, one of the mean over time, as in the released entry
            point for retrieval. Default: that of the model.
        toc_use: `"slice"`, as in the papers: a step keeps the code it has in all dimensions. `"requantize"`:
            it gets the code that is nearest in the kept dimensions to what the code layer quantized; each
            residual codebook decides anew for the vector it was given.
        directions: Such as `["video->audio"]`; all between the common modalities by default. A modality with
            itself is the ceiling.
        head: How heads are trained; the protocol's own way by default.
        code_layers: The code layers that heads see, such as `["layer1"]`; all by default.
        merge: `merge.json`, or the groups in it, for some of the evaluated code layers. Or `"auto"`: the
            codes of each are merged here, see `toc.merge_codes`. A step then has the group of its code, and
            heads see the mean codeword of the group. With `toc`, whose files are those of the codebook before
            merging, they see its kept dimensions; codes that are chosen anew are chosen before merging.
        permute_codes_seed: Control experiment: within the target modality the codes in use are renamed at
            random, anew for each head, so that any transfer that rests on shared codes must fall to chance.
            Rows of a modality with itself are left alone.
        exclude: Ids of videos to leave out of every split, or the folder of a feature store that has
            them, such as the one the model was pretrained on, or a text file with one a line.
        continuous: Also train the same heads on what was quantized and, where source and target are the same,
            on the features: what they reach beyond the heads on codes is the price of the codes. This takes
            most of the time of an evaluation. Without heads, what was quantized is compared in place of the
            codes.

    Raises:
        InputError: A name is unknown, the data is damaged or does not fit the model, `toc` was made for
            another codebook or for a code layer that has none, there is a `toc_use` without `toc`, or `merge`
            was made for another codebook or finds no groups that are well separated.
    """
    started = time.perf_counter()
    one_of("evaluation", ("slice", "requantize"), toc_use=toc_use)
    check_level(model, level)
    level_used = model.default_level if level is None else level
    use: Use = "requantize" if toc_use == "requantize" else "slice"
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise InputError(
            f"the seeds are {list(seeds)}", expected="one or more different whole numbers, such as 0,1,2"
        )
    data = _opened(task, data_root)
    rule = data.rule(protocol)
    if rule.head is None and head is not None:
        raise InputError(
            f"settings of a head for task {data.name}", expected="none: this task trains no head"
        )
    known_layers = model.code_layers()
    seen = resolve_code_layers(code_layers, known_layers)
    selections = None if toc is None else match_selections(toc, model.codebooks(), seen)
    merges = {} if merge is None else match_merges(merge, model.codebooks(), seen)
    if use == "requantize" and selections is None:
        raise InputError(
            "toc_use is 'requantize', and there is no TOC selection", fix="give the selection, or 'auto'"
        )
    encoded = encode_task(
        model,
        data,
        rule,
        directions,
        seen,
        exclude,
        level=level,
        with_unquantized=use == "requantize",
        continuous=continuous and (rule.head is not None or not rule.leaks),
    )
    encoded = replace(
        encoded,
        seeds=tuple(seeds),
        head=rule.head if head is None else head,
        permute_codes_seed=permute_codes_seed,
        bootstrap=None if rule.leaks else Bootstrap(),
    )
    if selections or merges:
        views = [_view(layer, encoded.codebooks, selections or {}, use, merges) for layer in seen]
        encoded = replace(encoded, codes={m: refined(clips, views) for m, clips in encoded.codes.items()})
    encode_seconds = time.perf_counter() - started

    heads_started = time.perf_counter()
    scored = encoded.score()
    heads_seconds = time.perf_counter() - heads_started

    chance = rule.objective.chance(len(encoded.classes)) if isinstance(rule, HeadProtocol) else None
    constants = {row.constant for row in scored.directions}
    return TaskResult(
        task=data.name,
        protocol=rule.name,
        leaks=rule.leaks,
        departures=rule.departures_at(level_used),
        cautions=rule.cautions + (() if selections is None else DIMENSIONS_CHOSEN),
        seeds=() if encoded.head is None else encoded.seeds,
        classes=encoded.classes,
        chance=chance,
        majority=None if chance is None or len(constants) > 1 else constants.pop(),
        directions=scored.directions,
        joint=scored.joint,
        bootstrap=encoded.bootstrap,
        permute_codes_seed=permute_codes_seed,
        code_layers=seen,
        level=level_used,
        toc=None if selections is None else tuple(_toc_summary(s, use) for s in selections.values()),
        merge=tuple(map(_merge_summary, merges.values())) or None,
        head=encoded.head,
        data=encoded.data,
        checkpoint=CheckpointSummary(
            method=model.name, fingerprint=state_fingerprint(model), code_layers=known_layers
        ),
        seconds=Seconds(encode=encode_seconds, heads=heads_seconds, total=time.perf_counter() - started),
    )


def evaluate_all(
    model: Model,
    task: str,
    data_root: str | Path,
    protocol: str = "held-out",
    *,
    skipped: Callable[[str, str], None],
    task_options: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> Iterator[TaskResult]:
    """Evaluate a task, or all that the data root has, under a protocol, or all that the task has.

    Args:
        model: A pretrained method.
        task: As for `evaluate`, or `"all"`.
        data_root: Folder of the data sets.
        protocol: As for `evaluate`, or `"all"`.
        skipped: Of all tasks, told the name of each that cannot be evaluated, and why.
        task_options: What reading the task takes beside the folder, see `read_task`.
        options: As for `evaluate`.

    Raises:
        InputError: As `evaluate`; or of all tasks none can be evaluated.
    """
    every = task == ALL
    done = False
    for name in available_tasks() if every else [task]:
        try:
            data = read_task(name, data_root, **task_options)
            for rule in data.protocols if protocol == ALL else [protocol]:
                if not every or rule in data.protocols:
                    yield evaluate(model, data, protocol=rule, **options)
                    done = True
        except InputError as error:
            if not every:
                raise
            skipped(name, str(error))
    if not done:
        raise InputError("no task that this model can be evaluated on", where=data_root)


def _opened(task: str | Task, data_root: str | Path | None) -> Task:
    """The task with its data."""
    if isinstance(task, Task):
        if data_root is not None:
            raise InputError(
                f"a folder beside an open task of {task.root}", where="data_root", fix="leave data_root out"
            )
        return task
    if data_root is None:
        raise InputError("no folder of data", where=f"task {task}", expected="data_root, or an open task")
    return read_task(task, data_root)


def file_name(result: TaskResult) -> str:
    """The name of its file in a folder of results, such as `ave.json` or `avvp-paper-f1.json`."""
    parts = [result.task]
    if result.protocol != "held-out":
        parts.append(result.protocol)
    if result.toc is not None:
        parts += ["toc", "requantize"] if result.toc[0].use == "requantize" else ["toc"]
    if result.merge is not None:
        parts.append("merge")
    return "-".join(parts) + ".json"


def _view(
    layer: str,
    codebooks: Mapping[str, Float[Tensor, "_ _"]],
    selections: Mapping[str, TOCSelection],
    use: Use,
    merges: Mapping[str, CodeMerge],
) -> LayerView | None:
    """What heads see of a code layer; None for all of it."""
    kept = view_of(selections[layer], use, codebooks[layer]) if layer in selections else None
    return merged_view(merges[layer], codebooks[layer], kept) if layer in merges else kept


def _toc_summary(selection: TOCSelection, use: Use) -> TOCSummary:
    return TOCSummary(
        code_layer=selection.layer,
        kept=len(selection.indices),
        n_dims=selection.n_dims,
        lam=selection.lam,
        variant=selection.variant,
        centered=selection.scores.centered,
        codebook_sha256=selection.codebook_sha256,
        use=use,
    )


def _merge_summary(merge: CodeMerge) -> MergeSummary:
    return MergeSummary(
        code_layer=merge.layer,
        n_codes=merge.n_codes,
        n_groups=merge.n_groups,
        ratio=merge.ratio,
        codebook_sha256=merge.codebook_sha256,
    )
