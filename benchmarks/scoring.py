"""From codes to result rows: heads are trained on each source modality and judged on each target modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64, Shaped
from numpy import ndarray
from torch import Tensor

from benchmarks.directions import Direction
from benchmarks.encoding import EncodedClips
from benchmarks.fitting import FittedHeads, fit_heads, head_logits
from benchmarks.heads import HeadConfig, LabelledCodes
from benchmarks.metrics import mean_and_std
from benchmarks.protocols import Protocol
from benchmarks.results import DirectionResult, Measure
from unicode_cmg.errors import InputError


@dataclass(frozen=True)
class Setting:
    """Everything but the codes.

    Attributes:
        rule: The protocol.
        classes: Number of classes.
        pairs: The directions.
        rows: Split -> modality -> rows.
        labels: Split -> modality -> the labels of those rows.
        seeds: Of the heads.
        head: How heads are trained.
        permute_codes_seed: As for `evaluate`.
    """

    rule: Protocol
    classes: int
    pairs: Sequence[Direction]
    rows: Mapping[str, Mapping[str, Int64[ndarray, " rows"]]]
    labels: Mapping[str, Mapping[str, Shaped[ndarray, " rows *axes"]]]
    seeds: Sequence[int]
    head: HeadConfig
    permute_codes_seed: int | None

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


def head_scores(setting: Setting, encoded: Mapping[str, EncodedClips]) -> tuple[DirectionResult, ...]:
    """One row for each direction, from heads that learn on the source's codes."""
    fitted: dict[Direction, FittedHeads] = {}
    for source in dict.fromkeys(pair.source for pair in setting.pairs):
        fitted |= _fit(source, setting, encoded)
    return tuple(_row(pair, fitted[pair], setting, encoded) for pair in setting.pairs)


def _fit(source: str, setting: Setting, encoded: Mapping[str, EncodedClips]) -> dict[Direction, FittedHeads]:
    """The heads of one source; they are trained once, and each direction has its own choice of the epoch."""
    rule = setting.rule
    pairs = [pair for pair in setting.pairs if pair.source == source]
    chooser = {pair: pair.source if rule.select_on == "source" else pair.target for pair in pairs}
    by_chooser = fit_heads(
        setting.clips(encoded, rule.train, source),
        {m: setting.clips(encoded, rule.select, m) for m in dict.fromkeys(chooser.values())},
        objective=rule.objective,
        classes=setting.classes,
        seeds=setting.seeds,
        config=setting.head,
    )
    return {pair: by_chooser[chooser[pair]] for pair in pairs}


def _row(
    pair: Direction, fitted: FittedHeads, setting: Setting, encoded: Mapping[str, EncodedClips]
) -> DirectionResult:
    rule, objective = setting.rule, setting.rule.objective
    transfer = pair.source != pair.target
    permutations = None
    if transfer and setting.permute_codes_seed is not None:
        permutations = _permutations(encoded[pair.target], setting.seeds, setting.permute_codes_seed)
    clips = setting.clips(encoded, rule.report, pair.target)
    reached = objective.judge(head_logits(objective, fitted.heads, clips, permutations), clips.labels)
    constant = objective.constant(setting.clips(encoded, rule.train, pair.source).labels, clips.labels)
    measures = {name: _measure(values.tolist(), constant[name]) for name, values in reached.items()}
    main = measures.pop(objective.metric)
    return DirectionResult(
        source=pair.source,
        target=pair.target,
        kind="transfer" if transfer else "same-modality",
        metric=objective.metric,
        epochs_selected=fitted.epochs,
        others=measures,
        **dict(main),
    )


def _measure(per_seed: Sequence[float], constant: float) -> Measure:
    mean, std = mean_and_std(per_seed)
    return Measure(mean=mean, std=std, per_seed=tuple(per_seed), constant=constant)


def _permutations(clips: EncodedClips, seeds: Sequence[int], permute_seed: int) -> list[Tensor]:
    """Per layer, `[S, U]`: a random order of the codes in use for each head."""
    device = clips.indices.device
    generators = [torch.Generator().manual_seed(permute_seed * 1_000_003 + seed) for seed in seeds]
    return [
        torch.stack([torch.randperm(len(table), generator=g) for g in generators]).to(device)
        for table in clips.tables
    ]
