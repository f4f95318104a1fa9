"""From codes to result rows: heads are trained on each source modality and judged on each target modality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from numpy import ndarray
from torch import Tensor

from benchmarks.evaluation.bootstrap import bootstrap_intervals
from benchmarks.evaluation.clip_codes import EncodedClips
from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.fitting import FittedHeads, fit_heads, head_logits
from benchmarks.evaluation.heads import LabelledCodes
from benchmarks.evaluation.metrics import mean_and_std, mean_over_clips
from benchmarks.evaluation.protocols import HeadProtocol, Protocol
from unicode_cmg.errors import InputError
from unicode_cmg.results import Bootstrap, DirectionResult, HeadConfig, JointResult, Measure


@dataclass(frozen=True)
class Setting:
    """Everything but the codes.

    Attributes:
        rule: The protocol.
        classes: Number of classes.
        pairs: The directions.
        rows: Split -> modality -> rows.
        labels: Split -> modality -> the labels of those rows.
        names: Modality -> names of the reported clips; two rows of the same clip have the same name.
        seeds: Of the heads.
        head: How heads are trained; None where there are none.
        permute_codes_seed: As for `evaluate`.
        bootstrap: How intervals are made; None for a protocol that has none.
    """

    rule: Protocol
    classes: int
    pairs: Sequence[Direction]
    rows: Mapping[str, Mapping[str, Int64[ndarray, " rows"]]]
    labels: Mapping[str, Mapping[str, Shaped[ndarray, " rows *axes"]]]
    names: Mapping[str, Sequence[str]]
    seeds: Sequence[int]
    head: HeadConfig | None
    permute_codes_seed: int | None
    bootstrap: Bootstrap | None

    def clips(self, encoded: Mapping[str, EncodedClips], split: str, modality: str) -> LabelledCodes:
        """The clips of one split and modality.

        Raises:
            InputError: Each step has labels, but the model gives a clip one code.
        """
        labels, codes = self.labels[split][modality], encoded[modality]
        if labels.ndim > 1 and codes.indices.shape[1] != labels.shape[1]:
            raise InputError(
                f"the model has {codes.indices.shape[1]} code for a clip of {modality},"
                f" but the task labels {labels.shape[1]} steps",
                expected="a code for each step",
                fix="with FCID, pretrain with 'level: segment'",
            )
        return codes.labelled(self.rows[split][modality], labels)


@dataclass(frozen=True)
class Scored:
    """What judging the codes gave: a row for each direction, and what takes two of them."""

    directions: tuple[DirectionResult, ...]
    joint: tuple[JointResult, ...] = ()


@dataclass(frozen=True)
class _Judged:
    """What the heads of one direction say about the reported clips, and what is true of them."""

    logits: Float[Tensor, "heads clips *axes"]
    labels: Shaped[Tensor, " clips *_"]


def head_scores(setting: Setting, encoded: Mapping[str, EncodedClips]) -> Scored:
    """One row for each direction, from heads that learn on the source's codes."""
    rule = setting.rule
    if not isinstance(rule, HeadProtocol) or setting.head is None:
        raise RuntimeError(f"protocol {rule.name} has no heads; its task must override 'score'")
    fitted: dict[Direction, FittedHeads] = {}
    for source in dict.fromkeys(pair.source for pair in setting.pairs):
        fitted |= fit_source(source, rule, setting.head, setting, encoded)
    judged = {pair: _judge(pair, rule, fitted[pair], setting, encoded) for pair in setting.pairs}
    rows = tuple(_row(pair, rule, fitted[pair], judged[pair], setting, encoded) for pair in setting.pairs)
    return Scored(rows, tuple(_joint(rule, judged, setting)) if rule.select_on == "source" else ())


def fit_source(
    source: str,
    rule: HeadProtocol,
    head: HeadConfig,
    setting: Setting,
    encoded: Mapping[str, EncodedClips],
) -> dict[Direction, FittedHeads]:
    """The heads of one source; they are trained once, and each direction has its own choice of the epoch."""
    pairs = [pair for pair in setting.pairs if pair.source == source]
    chooser = {pair: pair.source if rule.select_on == "source" else pair.target for pair in pairs}
    by_chooser = fit_heads(
        setting.clips(encoded, rule.train, source),
        {m: setting.clips(encoded, rule.select, m) for m in dict.fromkeys(chooser.values())},
        objective=rule.objective,
        classes=setting.classes,
        seeds=setting.seeds,
        config=head,
    )
    return {pair: by_chooser[chooser[pair]] for pair in pairs}


def _judge(
    pair: Direction,
    rule: HeadProtocol,
    fitted: FittedHeads,
    setting: Setting,
    encoded: Mapping[str, EncodedClips],
) -> _Judged:
    permutations = None
    if pair.source != pair.target and setting.permute_codes_seed is not None:
        permutations = code_permutations(encoded[pair.target], setting.seeds, setting.permute_codes_seed)
    clips = setting.clips(encoded, rule.report, pair.target)
    return _Judged(head_logits(rule.objective, fitted.heads, clips, permutations), clips.labels)


def _row(
    pair: Direction,
    rule: HeadProtocol,
    fitted: FittedHeads,
    judged: _Judged,
    setting: Setting,
    encoded: Mapping[str, EncodedClips],
) -> DirectionResult:
    objective, labels = rule.objective, judged.labels
    constant = objective.constant(setting.clips(encoded, rule.train, pair.source).labels, labels)
    intervals = {}
    if setting.bootstrap is not None:
        intervals = bootstrap_intervals(
            setting.bootstrap,
            len(labels),
            lambda weights: objective.resampled(judged.logits, labels, weights),
            labels.device,
        )
    measures = {
        name: measure(values.tolist(), constant[name], intervals.get(name))
        for name, values in objective.judge(judged.logits, labels).items()
    }
    main = measures.pop(objective.metric)
    return DirectionResult(
        source=pair.source,
        target=pair.target,
        kind="same-modality" if pair.source == pair.target else "transfer",
        metric=objective.metric,
        epochs_selected=fitted.epochs,
        others=measures,
        details=objective.details(judged.logits, labels, setting.names[pair.target]),
        **dict(main),
    )


def _joint(
    rule: HeadProtocol, judged: Mapping[Direction, _Judged], setting: Setting
) -> Iterator[JointResult]:
    """What the heads of one source say about two modalities of the same clips."""
    for source in dict.fromkeys(pair.source for pair in judged):
        targets = [pair.target for pair in judged if pair.source == source]
        for first, second in combinations(sorted(targets), 2):
            _, *rows = np.intersect1d(setting.names[first], setting.names[second], return_indices=True)
            if len(rows[0]) == 0:
                continue
            both = [judged[Direction(source, target)] for target in (first, second)]
            places = [torch.from_numpy(r).to(j.labels.device) for r, j in zip(rows, both, strict=True)]
            scores = rule.objective.judge_together(
                (first, second),
                [j.logits[:, place] for j, place in zip(both, places, strict=True)],
                [j.labels[place] for j, place in zip(both, places, strict=True)],
            )
            if scores:
                yield JointResult(
                    source=source,
                    targets=(first, second),
                    clips=len(rows[0]),
                    measures=_clip_means(scores, setting.bootstrap),
                )


def _clip_means(
    scores: Mapping[str, Float[Tensor, "heads clips"]], bootstrap: Bootstrap | None
) -> dict[str, Measure]:
    intervals = {}
    if bootstrap is not None:
        first = next(iter(scores.values()))
        intervals = bootstrap_intervals(
            bootstrap,
            first.shape[1],
            lambda weights: {name: mean_over_clips(values, weights) for name, values in scores.items()},
            first.device,
        )
    return {
        name: measure(mean_over_clips(values, None).tolist(), None, intervals.get(name))
        for name, values in scores.items()
    }


def measure(
    per_seed: Sequence[float], constant: float | None, interval: tuple[float, float] | None
) -> Measure:
    """A measure from its values for each seed."""
    mean, std = mean_and_std(per_seed)
    return Measure(mean=mean, std=std, per_seed=tuple(per_seed), constant=constant, interval=interval)


def code_permutations(clips: EncodedClips, seeds: Sequence[int], permute_seed: int) -> list[Tensor]:
    """Per layer, `[S, U]`: a random order of the codes in use for each head."""
    device = clips.indices.device
    generators = [torch.Generator().manual_seed(permute_seed * 1_000_003 + seed) for seed in seeds]
    return [
        torch.stack([torch.randperm(len(table), generator=g) for g in generators]).to(device)
        for table in clips.tables
    ]
