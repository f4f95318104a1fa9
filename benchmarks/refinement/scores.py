"""Score many views of the same codes; heads that see equally many numbers train in one stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from benchmarks.evaluation.clip_codes import EncodedClips
from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.fitting import head_logits
from benchmarks.evaluation.protocols import HeadProtocol
from benchmarks.evaluation.scoring import Setting, fit_source
from benchmarks.evaluation.task_codes import EncodedTask
from benchmarks.refinement.views import LayerView, Requantized, refined
from unicode_cmg.results import HeadConfig

Views = Sequence[LayerView | None]
"""What heads see of each evaluated layer; None: all of it."""

_HEADS_AT_ONCE = 64


@dataclass(frozen=True)
class Score:
    """What is reached in one direction.

    Attributes:
        metric: Name of the measure.
        reported: For each head, on the reported clips; one value where codes are judged without heads.
        selection: For each head, on the clips that chose its epoch; empty where none did.
    """

    metric: str
    reported: tuple[float, ...]
    selection: tuple[float, ...]


def score_views(
    task: EncodedTask,
    source: str,
    views: Sequence[Views],
    seeds: Sequence[int],
    head: HeadConfig | None = None,
) -> list[dict[Direction, Score]]:
    """What heads that learn on one modality reach through each view.

    Args:
        task: Encoded with inputs if a view requantizes.
        source: The modality; the directions are those of the task that begin there.
        views: What heads see; the same in training and on the target.
        seeds: Of the heads.
        head: How they train; the protocol's own way by default.
    """
    setting = replace(
        task.setting(seeds, head), pairs=tuple(pair for pair in task.pairs if pair.source == source)
    )
    if not isinstance(task.rule, HeadProtocol):
        return [_judged(task, setting, chosen) for chosen in views]
    scores: dict[int, dict[Direction, Score]] = {}
    for places in _stacks(views, len(seeds)):
        codes = _stacked(task.codes, [views[i] for i in places], len(seeds))
        stack = replace(setting, seeds=tuple(seeds) * len(places))
        scores |= zip(places, _trained(task.rule, source, stack, codes, len(places)), strict=True)
    return [scores[i] for i in range(len(views))]


def _judged(task: EncodedTask, setting: Setting, views: Views) -> dict[Direction, Score]:
    """Without heads."""
    scored = task.data.score(setting, {m: refined(clips, views) for m, clips in task.codes.items()})
    return {
        Direction(row.source, row.target): Score(row.metric, row.per_seed, ()) for row in scored.directions
    }


def _stacks(views: Sequence[Views], seeds: int) -> Iterator[list[int]]:
    """Places of views that can train together: the codes of all steps are the same, and the widths."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, chosen in enumerate(views):
        alone = (place,) if any(isinstance(view, Requantized) for view in chosen) else ()
        widths = tuple(None if view is None else view.width for view in chosen)
        groups.setdefault((*alone, *widths), []).append(place)
    most = max(1, _HEADS_AT_ONCE // seeds)
    for places in groups.values():
        yield from (places[start : start + most] for start in range(0, len(places), most))


def _stacked(
    codes: Mapping[str, EncodedClips], views: Sequence[Views], seeds: int
) -> dict[str, EncodedClips]:
    """Clips with a table for each head: all seeds of the first view, then of the second, and so on."""
    stacked = {}
    for modality, clips in codes.items():
        seen = [refined(clips, chosen) for chosen in views]
        tables = zip(*(one.tables for one in seen), strict=True)
        stacked[modality] = replace(
            seen[0], tables=tuple(torch.stack(layer).repeat_interleave(seeds, dim=0) for layer in tables)
        )
    return stacked


def _trained(
    rule: HeadProtocol, source: str, setting: Setting, codes: Mapping[str, EncodedClips], views: int
) -> list[dict[Direction, Score]]:
    """The heads of a stack, on every target."""
    head = setting.head
    fitted = fit_source(source, rule, rule.head if head is None else head, setting, codes)
    scores: list[dict[Direction, Score]] = [{} for _ in range(views)]
    for pair, heads in fitted.items():
        clips = setting.clips(codes, rule.report, pair.target)
        reached = rule.objective.choose(head_logits(rule.objective, heads.heads, clips), clips.labels)
        parts = zip(_split(reached.tolist(), views), _split(heads.reached, views), strict=True)
        for score, (reported, selection) in zip(scores, parts, strict=True):
            score[pair] = Score(rule.objective.metric, reported, selection)
    return scores


def _split(values: Sequence[float], parts: int) -> list[tuple[float, ...]]:
    """Consecutive parts of equal length; empty ones of nothing."""
    each = len(values) // parts
    return [tuple(values[i * each : (i + 1) * each]) for i in range(parts)]
