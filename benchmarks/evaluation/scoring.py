"""From codes to result rows: heads are trained on each source modality and judged on each target modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from numpy import ndarray
from torch import Tensor

from benchmarks.evaluation.clip_codes import EncodedClips
from benchmarks.evaluation.direction_rows import code_permutations, direction_result, measure, measures_of
from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.fitting import FittedHeads, fit_heads, head_logits
from benchmarks.evaluation.heads import Labelled, LabelledCodes, LabelledVectors
from benchmarks.evaluation.metrics import means_over_clips
from benchmarks.evaluation.objectives import Labels, Logits
from benchmarks.evaluation.protocols import HeadProtocol, Protocol
from unicode_cmg.errors import InputError
from unicode_cmg.results import Bootstrap, DataSummary, DirectionResult, HeadConfig, JointResult, Measure

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
        continuous: Whether heads are also trained on what was quantized and on the features; `codes` has them
            then.
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
    continuous: bool = False

    def score(self) -> Scored:
        """A row for each direction."""
        return self.judge(self)

    def clips(self, split: str, modality: str) -> LabelledCodes:
        """The clips of one split and modality.

        Raises:
            InputError: Each step has labels, but the model gives a clip one code.
        """
        labels, codes = self.labels[split][modality], self.codes[modality]
        per_step = isinstance(self.rule, HeadProtocol) and self.rule.objective.per_step
        if per_step and codes.indices.shape[1] != labels.shape[1]:
            raise InputError(
                f"the model has {codes.indices.shape[1]} code for a clip of {modality},"
                f" but the task labels {labels.shape[1]} steps",
                expected="a code for each step",
                fix="with FCID, evaluate with level segment",
            )
        return codes.labelled(self.rows[split][modality], labels)

    def unquantized_clips(self, split: str, modality: str) -> LabelledVectors:
        """The same clips as what was quantized in place of the codes."""
        return self.codes[modality].labelled_unquantized(
            self.rows[split][modality], self.labels[split][modality]
        )

    def input_clips(self, split: str, modality: str) -> LabelledVectors:
        """The same clips as their features, each channel scaled to the spread of the training clips."""
        rule = self.rule
        if not isinstance(rule, HeadProtocol):
            raise RuntimeError(f"protocol {rule.name} has no training clips")

        def read(split: str) -> LabelledVectors:
            rows, labels = self.rows[split][modality], self.labels[split][modality]
            return self.codes[modality].labelled_inputs(rows, labels)

        known, clips = read(rule.train).values, read(split)
        mean, deviation = known.mean(dim=(0, 1)), known.flatten(0, 1).std(dim=0, correction=0)
        return replace(clips, values=(clips.values - mean) / deviation.where(deviation > 0, 1.0))


def head_scores(task: EncodedTask) -> Scored:
    """One row for each direction, from heads that learn on the source's codes."""
    rule = task.rule
    if not isinstance(rule, HeadProtocol) or task.head is None:
        raise RuntimeError(f"protocol {rule.name} has no heads; its task must override 'score'")
    judged: dict[Direction, _Judged] = {}
    rows = []
    for source in dict.fromkeys(pair.source for pair in task.pairs):
        fitted = fit_source(task, source, rule, task.head)
        vectors = score_vectors(task, source, rule, task.head)
        for pair, found in fitted.items():
            clips = task.clips(rule.report, pair.target)
            renamed = None
            if pair.source != pair.target:
                seed = task.permute_codes_seed or 0
                renamed = code_permutations(task.codes[pair.target], task.seeds, seed)
            permutations = None if task.permute_codes_seed is None else renamed
            logits = head_logits(rule.objective, found.heads, clips, permutations)
            judged[pair] = logits, clips.labels
            row = _row(task, pair, rule, found.epochs, logits, clips.labels)
            others = {name: measures[pair] for name, measures in vectors.items() if pair in measures}
            if renamed is not None and task.permute_codes_seed is None:
                answers = head_logits(rule.objective, found.heads, clips, renamed)
                others["shuffled"] = _metric(rule, answers, clips.labels)
            rows.append(row.model_copy(update=others))
    order = {pair: place for place, pair in enumerate(task.pairs)}
    rows.sort(key=lambda row: order[Direction(row.source, row.target)])
    joint = _joint(task, rule, {pair: judged[pair] for pair in task.pairs})
    return Scored(tuple(rows), tuple(joint) if rule.select_on == "source" else ())


Look = Callable[[str, str], Labelled]
"""From a split and a modality to what heads see of its clips."""


def fit_source(
    task: EncodedTask,
    source: str,
    rule: HeadProtocol,
    head: HeadConfig,
    look: Look | None = None,
    *,
    hidden: int | None = None,
    pairs: Sequence[Direction] | None = None,
) -> dict[Direction, FittedHeads]:
    """The heads of one source; they are trained once, and each direction has its own choice of the epoch.

    Args:
        task: The clips.
        source: The modality they learn on.
        rule: The protocol.
        head: How they learn.
        look: What they see of clips; the codes by default.
        hidden: Width between the two maps of a head; that of a step by default.
        pairs: Directions from this source; all of them by default.
    """
    look = look or task.clips
    pairs = [pair for pair in task.pairs if pair.source == source] if pairs is None else pairs
    chooser = {pair: pair.source if rule.select_on == "source" else pair.target for pair in pairs}
    by_chooser = fit_heads(
        look(rule.train, source),
        {m: look(rule.select, m) for m in dict.fromkeys(chooser.values())},
        objective=rule.objective,
        classes=len(task.classes),
        seeds=task.seeds,
        config=head,
        hidden=hidden,
    )
    return {pair: by_chooser[chooser[pair]] for pair in pairs}


def score_vectors(
    task: EncodedTask, source: str, rule: HeadProtocol, head: HeadConfig
) -> dict[str, dict[Direction, Measure]]:
    """What the same heads reach without quantization, by the names of the fields of `DirectionResult`.

    Heads on the features have the hidden width of those on the codes. As modalities differ in their features,
    they are judged on their own modality alone.
    """
    if not task.continuous:
        return {}
    within = [pair for pair in task.pairs if pair == Direction(source, source)]
    width = sum(part.shape[-1] for part in task.codes[source].unquantized)
    looks: dict[str, tuple[Look, Sequence[Direction] | None]] = {
        "continuous": (task.unquantized_clips, None),
        "raw": (task.input_clips, within),
    }
    return {
        name: {
            pair: _metric(
                rule,
                head_logits(rule.objective, fitted.heads, clips := look(rule.report, pair.target)),
                clips.labels,
            )
            for pair, fitted in fit_source(task, source, rule, head, look, hidden=width, pairs=pairs).items()
        }
        for name, (look, pairs) in looks.items()
        if pairs is None or pairs
    }


def _metric(rule: HeadProtocol, logits: Logits, labels: Labels) -> Measure:
    """The first measure alone, without interval."""
    return measure(rule.objective.judge(logits, labels)[rule.objective.metric].tolist(), None, None)


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
