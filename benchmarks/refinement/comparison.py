"""Compare refiners on one task, with one pass of the encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from pydantic import Field

from benchmarks.evaluation.clip_codes import EncodedClips
from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.fitting import head_logits
from benchmarks.evaluation.metrics import mean_and_std
from benchmarks.evaluation.protocols import HeadProtocol
from benchmarks.evaluation.scoring import EncodedTask, fit_source
from benchmarks.refinement.refiners import CodeLayer, Refiner, Size
from benchmarks.refinement.views import LayerView, Requantized, refined
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.results import HeadConfig

ALL = "all dimensions"

Views = Sequence[LayerView | None]
"""What heads see of each evaluated code layer; None: all of it."""

_HEADS_AT_ONCE = 64


class RefinedResult(Config):
    """One direction of one refinement of one size."""

    refinement: str = Field(description="Its name; 'all dimensions' is none.")
    asked: Size | None = Field(description="The size that was asked for; none for all dimensions.")
    kept: int = Field(description="Numbers heads see of a code, over all evaluated code layers.")
    n_dims: int = Field(description="Dimensions of these code layers.")
    source: str
    target: str
    metric: str
    mean: float = Field(description="Over the heads, and over the draws of a random refinement.")
    std: float | None = Field(
        description="Sample standard deviation over the heads; of a random refinement, over the draws."
    )
    selection: float | None = Field(
        description="What the heads reach on the clips that chose their epochs; none without such clips."
    )


def compare(
    task: EncodedTask,
    refiners: Mapping[str, Refiner],
    seeds: Sequence[int],
    head: HeadConfig | None = None,
) -> list[RefinedResult]:
    """All dimensions, then every size of every refiner, in all directions of the task.

    Args:
        task: Encoded `with_unquantized` if a refiner requantizes.
        refiners: Name -> refiner.
        seeds: Of the heads.
        head: How heads train; by default as the protocol says.

    Raises:
        InputError: A code layer has no codebook, a size is not possible, or a refiner needs labels that heads
            learn from and there are none.
    """
    _check(task, refiners)
    found: list[RefinedResult] = []
    for source in dict.fromkeys(pair.source for pair in task.pairs):
        requests = [_Request(ALL, None, [[None] * len(task.code_layers)])]
        requests += _requests(task, refiners, source) if refiners else []
        scores = iter(score_views(task, source, [views for r in requests for views in r.draws], seeds, head))
        for request in requests:
            draws = [next(scores) for _ in request.draws]
            found += [_row(task, request, pair, [draw[pair] for draw in draws]) for pair in draws[0]]
    return found


class _Request:
    """One size of one refiner: its views, one for each draw."""

    def __init__(self, name: str, asked: Size | None, draws: Sequence[Views]) -> None:
        self.name, self.asked, self.draws = name, asked, draws


def _requests(task: EncodedTask, refiners: Mapping[str, Refiner], source: str) -> list[_Request]:
    layers = _materials(task, source)
    requests = []
    for name, refiner in refiners.items():
        by_layer = [refiner.views(layer) for layer in layers]
        for place, size in enumerate(refiner.keep):
            draws: list[tuple[LayerView, ...]] = list(zip(*(sizes[place] for sizes in by_layer), strict=True))
            requests.append(_Request(name, size, draws))
    return requests


def _materials(task: EncodedTask, source: str) -> list[CodeLayer]:
    training = None
    if isinstance(task.rule, HeadProtocol):
        training = task.clips(task.rule.train, source)
    return [
        CodeLayer(name, place, task.codebooks[name], training) for place, name in enumerate(task.code_layers)
    ]


def _row(task: EncodedTask, request: _Request, pair: Direction, draws: Sequence[Score]) -> RefinedResult:
    total = sum(table.shape[-1] for table in task.codes[pair.source].tables)
    kept = sum(view.width for view in request.draws[0] if view is not None)
    if len(draws) == 1:
        mean, std = mean_and_std(draws[0].reported)
    else:
        mean, std = mean_and_std([fmean(draw.reported) for draw in draws])
    selection = [value for draw in draws for value in draw.selection]
    return RefinedResult(
        refinement=request.name,
        asked=request.asked,
        kept=kept or total,
        n_dims=total,
        source=pair.source,
        target=pair.target,
        metric=draws[0].metric,
        mean=mean,
        std=std,
        selection=fmean(selection) if selection else None,
    )


def _check(task: EncodedTask, refiners: Mapping[str, Refiner]) -> None:
    if ALL in refiners:
        raise InputError(f"a refinement is called '{ALL}'", expected="another name: that one is always there")
    without = [layer for layer in task.code_layers if layer not in task.codebooks]
    if refiners and without:
        raise InputError(
            f"the code layer '{without[0]}' has no codebook to refine",
            expected="code layers with a codebook",
            fix="leave it out, or the refinements",
        )
    for name, refiner in refiners.items():
        if refiner.uses_labels and not isinstance(task.rule, HeadProtocol):
            raise InputError(
                f"the refinement '{name}' needs labels that heads learn from",
                where=f"protocol {task.rule.name}",
                expected="a task that trains heads",
            )


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
        task: Encoded `with_unquantized` if a view requantizes.
        source: The modality; the directions are those of the task that begin there.
        views: What heads see; the same in training and on the target.
        seeds: Of the heads.
        head: How they train; by default as the protocol says.
    """
    task = replace(
        task,
        pairs=tuple(pair for pair in task.pairs if pair.source == source),
        seeds=tuple(seeds),
        head=task.head if head is None else head,
    )
    if not isinstance(task.rule, HeadProtocol) or task.head is None:
        return [_judged(task, chosen) for chosen in views]
    scores: dict[int, dict[Direction, Score]] = {}
    for places in _stacks(views, len(seeds)):
        codes = _stacked(task.codes, [views[i] for i in places], len(seeds))
        stack = replace(task, codes=codes, seeds=tuple(seeds) * len(places))
        scores |= zip(places, _trained(stack, source, task.rule, task.head, len(places)), strict=True)
    return [scores[i] for i in range(len(views))]


def _judged(task: EncodedTask, views: Views) -> dict[Direction, Score]:
    """Without heads."""
    scored = replace(task, codes={m: refined(clips, views) for m, clips in task.codes.items()}).score()
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
    task: EncodedTask, source: str, rule: HeadProtocol, head: HeadConfig, views: int
) -> list[dict[Direction, Score]]:
    """The heads of a stack, on every target."""
    fitted = fit_source(task, source, rule, head)
    scores: list[dict[Direction, Score]] = [{} for _ in range(views)]
    for pair, heads in fitted.items():
        clips = task.clips(rule.report, pair.target)
        reached = rule.objective.choose(head_logits(rule.objective, heads.heads, clips), clips.labels)
        parts = zip(_split(reached.tolist(), views), _split(heads.reached, views), strict=True)
        for score, (reported, selection) in zip(scores, parts, strict=True):
            score[pair] = Score(rule.objective.metric, reported, selection)
    return scores


def _split(values: Sequence[float], parts: int) -> list[tuple[float, ...]]:
    """Consecutive parts of equal length; empty ones of nothing."""
    each = len(values) // parts
    return [tuple(values[i * each : (i + 1) * each]) for i in range(parts)]
