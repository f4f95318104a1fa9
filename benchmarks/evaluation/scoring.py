"""From codes to result rows: heads are trained on each source modality and judged on each target modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from numpy import ndarray
from torch import Tensor

from benchmarks.evaluation.clip_codes import EncodedClips
from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.fitting import FittedHeads, fit_heads, head_logits
from benchmarks.evaluation.heads import LabelledCodes
from benchmarks.evaluation.metrics import Weights, bootstrap_intervals, mean_and_std, means_over_clips
from benchmarks.evaluation.objectives import HeadMeasures, Labels, Logits
from benchmarks.evaluation.protocols import HeadProtocol, Protocol
from unicode_cmg.errors import InputError
from unicode_cmg.results import (
    Bootstrap,
    ClipDetails,
    DataSummary,
    DirectionResult,
    HeadConfig,
    JointResult,
    Measure,
    SecondDetails,
)

_Judged = tuple[Logits, Labels]
"""What the heads of one direction say about the reported clips, and what is true of them."""


@dataclass(frozen=True)
class Scored:
    """What judging the codes gave: a row for each direction, and what takes two of them."""

    directions: tuple[DirectionResult, ...]
    joint: tuple[JointResult, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EncodedTask:
    """The clips that a protocol reads, as codes; what is true of them; and how heads on them are run.

    Attributes:
        rule: The protocol.
        judge: Scores the codes: the task's `score`.
        data: Where the clips came from.
        classes: Names of the classes.
        pairs: The directions.
        rows: Split -> modality -> rows of the data.
        labels: Split -> modality -> the labels of those rows.
        names: Modality -> names of the reported clips; two rows of the same clip have the same name.
        codes: Modality -> codes of all its rows.
        code_layers: The code layers in `codes`.
        codebooks: Code layer -> codebook `[H, D]`, of those that have one.
        seeds: Of the heads.
        head: How heads are trained; None where there are none.
        permute_codes_seed: As for `evaluate`.
        bootstrap: How intervals are made; None for none.
    """

    rule: Protocol
    judge: Callable[[EncodedTask], Scored]
    data: DataSummary
    classes: tuple[str, ...]
    pairs: tuple[Direction, ...]
    rows: Mapping[str, Mapping[str, Int64[ndarray, " rows"]]]
    labels: Mapping[str, Mapping[str, Shaped[ndarray, " rows *axes"]]]
    names: Mapping[str, Sequence[str]]
    codes: Mapping[str, EncodedClips]
    code_layers: tuple[str, ...]
    codebooks: Mapping[str, Float[Tensor, "_ _"]]
    seeds: tuple[int, ...] = (0,)
    head: HeadConfig | None = None
    permute_codes_seed: int | None = None
    bootstrap: Bootstrap | None = None

    def score(self) -> Scored:
        """A row for each direction."""
        return self.judge(self)

    def clips(self, split: str, modality: str) -> LabelledCodes:
        """The clips of one split and modality.

        Raises:
            InputError: Each step has labels, but the model gives a clip one code.
        """
        labels, codes = self.labels[split][modality], self.codes[modality]
        if labels.ndim > 1 and codes.indices.shape[1] != labels.shape[1]:
            raise InputError(
                f"the model has {codes.indices.shape[1]} code for a clip of {modality},"
                f" but the task labels {labels.shape[1]} steps",
                expected="a code for each step",
                fix="with FCID, pretrain with 'level: segment'",
            )
        return codes.labelled(self.rows[split][modality], labels)


def head_scores(task: EncodedTask) -> Scored:
    """One row for each direction, from heads that learn on the source's codes."""
    rule = task.rule
    if not isinstance(rule, HeadProtocol) or task.head is None:
        raise RuntimeError(f"protocol {rule.name} has no heads; its task must override 'score'")
    fitted: dict[Direction, FittedHeads] = {}
    for source in dict.fromkeys(pair.source for pair in task.pairs):
        fitted |= fit_source(task, source, rule, task.head)
    judged: dict[Direction, _Judged] = {}
    rows = []
    for pair in task.pairs:
        permutations = None
        if pair.source != pair.target and task.permute_codes_seed is not None:
            permutations = code_permutations(task.codes[pair.target], task.seeds, task.permute_codes_seed)
        clips = task.clips(rule.report, pair.target)
        logits = head_logits(rule.objective, fitted[pair].heads, clips, permutations)
        judged[pair] = logits, clips.labels
        rows.append(_row(task, pair, rule, fitted[pair].epochs, logits, clips.labels))
    return Scored(tuple(rows), tuple(_joint(task, rule, judged)) if rule.select_on == "source" else ())


def fit_source(
    task: EncodedTask, source: str, rule: HeadProtocol, head: HeadConfig
) -> dict[Direction, FittedHeads]:
    """The heads of one source; they are trained once, and each direction has its own choice of the epoch."""
    pairs = [pair for pair in task.pairs if pair.source == source]
    chooser = {pair: pair.source if rule.select_on == "source" else pair.target for pair in pairs}
    by_chooser = fit_heads(
        task.clips(rule.train, source),
        {m: task.clips(rule.select, m) for m in dict.fromkeys(chooser.values())},
        objective=rule.objective,
        classes=len(task.classes),
        seeds=task.seeds,
        config=head,
    )
    return {pair: by_chooser[chooser[pair]] for pair in pairs}


def _row(
    task: EncodedTask,
    pair: Direction,
    rule: HeadProtocol,
    epochs: tuple[int, ...],
    logits: Logits,
    labels: Labels,
) -> DirectionResult:
    objective = rule.objective
    measures = measures_of(
        lambda weights: objective.judge(logits, labels, weights),
        task.bootstrap,
        len(labels),
        labels.device,
        objective.constant(task.clips(rule.train, pair.source).labels, labels),
    )
    details = objective.details(logits, labels, task.names[pair.target])
    return direction_result(pair, objective.metric, measures, epochs, details)


def _joint(
    task: EncodedTask, rule: HeadProtocol, judged: Mapping[Direction, _Judged]
) -> Iterator[JointResult]:
    """What the heads of one source say about two modalities of the same clips."""
    for source in dict.fromkeys(pair.source for pair in judged):
        targets = [pair.target for pair in judged if pair.source == source]
        for first, second in combinations(sorted(targets), 2):
            _, *rows = np.intersect1d(task.names[first], task.names[second], return_indices=True)
            if len(rows[0]) == 0:
                continue
            both = [judged[Direction(source, target)] for target in (first, second)]
            places = [torch.from_numpy(part).to(both[0][1].device) for part in rows]
            scores = rule.objective.judge_together(
                (first, second),
                [logits[:, place] for (logits, _), place in zip(both, places, strict=True)],
                [labels[place] for (_, labels), place in zip(both, places, strict=True)],
            )
            if scores:
                means = partial(means_over_clips, scores)
                measures = measures_of(means, task.bootstrap, len(rows[0]), places[0].device)
                yield JointResult(
                    source=source, targets=(first, second), clips=len(rows[0]), measures=measures
                )


def measures_of(
    judged: Callable[[Weights | None], HeadMeasures],
    bootstrap: Bootstrap | None,
    clips: int,
    device: torch.device,
    constant: Mapping[str, float] | None = None,
) -> dict[str, Measure]:
    """Measures of the tested clips, with intervals.

    Args:
        judged: The measures of resamples with these weights, or for None those of the clips as they are.
        bootstrap: How intervals are made; None for none.
        clips: How many were tested.
        device: Where `judged` computes.
        constant: What a constant answer reaches, by the names of the measures.
    """
    intervals = {} if bootstrap is None else bootstrap_intervals(bootstrap, clips, judged, device)
    return {
        name: measure(values.tolist(), (constant or {}).get(name), intervals.get(name))
        for name, values in judged(None).items()
    }


def measure(
    per_seed: Sequence[float], constant: float | None, interval: tuple[float, float] | None
) -> Measure:
    """A measure from its values for each seed."""
    mean, std = mean_and_std(per_seed)
    return Measure(mean=mean, std=std, per_seed=tuple(per_seed), constant=constant, interval=interval)


def direction_result(
    pair: Direction,
    metric: str,
    measures: Mapping[str, Measure],
    epochs: tuple[int, ...] = (),
    details: ClipDetails | SecondDetails | None = None,
) -> DirectionResult:
    """The row of a direction: the metric first, the other measures beside it."""
    return DirectionResult(
        source=pair.source,
        target=pair.target,
        kind="same-modality" if pair.source == pair.target else "transfer",
        metric=metric,
        epochs_selected=epochs,
        others={name: other for name, other in measures.items() if name != metric},
        details=details,
        **dict(measures[metric]),
    )


def code_permutations(clips: EncodedClips, seeds: Sequence[int], permute_seed: int) -> list[Tensor]:
    """For each code layer, `[S, U]`: a random order of the codes in use for each head."""
    device = clips.indices.device
    generators = [torch.Generator().manual_seed(permute_seed * 1_000_003 + seed) for seed in seeds]
    return [
        torch.stack([torch.randperm(len(table), generator=g) for g in generators]).to(device)
        for table in clips.tables
    ]
