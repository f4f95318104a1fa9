"""Compare refiners on one task, with one pass of the encoder, and choose among them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal, NamedTuple

import torch
from pydantic import Field

from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.fitting import head_logits
from benchmarks.evaluation.metrics import mean_and_std
from benchmarks.evaluation.protocols import HeadProtocol
from benchmarks.evaluation.scoring import EncodedTask, fit_source
from benchmarks.refinement.refiners import CodeLayer, Refiner, Size
from benchmarks.refinement.views import LayerView, NewCodes, refined
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
    task = replace(task, seeds=tuple(seeds), head=task.head if head is None else head)
    found: list[RefinedResult] = []
    for source in dict.fromkeys(pair.source for pair in task.pairs):
        requests = [_Request(ALL, None, [[None] * len(task.code_layers)]), *_requests(task, refiners, source)]
        scores = iter(_scores(task, source, [views for request in requests for views in request.draws]))
        for request in requests:
            draws = [next(scores) for _ in request.draws]
            found += [_row(task, request, pair, [draw[pair] for draw in draws]) for pair in draws[0]]
    return found


class _Request(NamedTuple):
    """One size of one refiner: its views, one for each draw."""

    name: str
    asked: Size | None
    draws: Sequence[Views]


def _requests(task: EncodedTask, refiners: Mapping[str, Refiner], source: str) -> Iterator[_Request]:
    if not refiners:
        return
    training = task.clips(task.rule.train, source) if isinstance(task.rule, HeadProtocol) else None
    layers = [
        CodeLayer(name, place, task.codebooks[name], training) for place, name in enumerate(task.code_layers)
    ]
    for name, refiner in refiners.items():
        by_layer = [refiner.views(layer) for layer in layers]
        for place, size in enumerate(refiner.keep):
            yield _Request(name, size, list(zip(*(sizes[place] for sizes in by_layer), strict=True)))


def _row(task: EncodedTask, request: _Request, pair: Direction, draws: Sequence[_Score]) -> RefinedResult:
    total = sum(table.shape[-1] for table in task.codes[pair.source].tables)
    kept = sum(view.width for view in request.draws[0] if view is not None)
    mean, std = mean_and_std(
        draws[0].reported if len(draws) == 1 else [fmean(draw.reported) for draw in draws]
    )
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
class _Score:
    """What is reached in one direction.

    Attributes:
        metric: Name of the measure.
        reported: For each head, on the reported clips; one value where codes are judged without heads.
        selection: For each head, on the clips that chose its epoch; empty where none did.
    """

    metric: str
    reported: tuple[float, ...]
    selection: tuple[float, ...] = ()


def _scores(task: EncodedTask, source: str, views: Sequence[Views]) -> list[dict[Direction, _Score]]:
    """What is reached from one modality through each view; it is the same in training and on the target."""
    task = replace(task, pairs=tuple(pair for pair in task.pairs if pair.source == source))
    if not isinstance(task.rule, HeadProtocol) or task.head is None:
        seen = [{m: refined(clips, chosen) for m, clips in task.codes.items()} for chosen in views]
        scored = [replace(task, codes=codes).score().directions for codes in seen]
        return [
            {Direction(r.source, r.target): _Score(r.metric, r.per_seed) for r in rows} for rows in scored
        ]
    scores: dict[int, dict[Direction, _Score]] = {}
    for places in _stacks(views, len(task.seeds)):
        stack = _stacked(task, [views[i] for i in places])
        scores |= zip(places, _trained(stack, source, task.rule, task.head, len(places)), strict=True)
    return [scores[i] for i in range(len(views))]


def _stacks(views: Sequence[Views], seeds: int) -> Iterator[list[int]]:
    """Places of views that can train together: the codes of all steps are the same, and the widths."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, chosen in enumerate(views):
        alone = (place,) if any(isinstance(view, NewCodes) for view in chosen) else ()
        widths = tuple(None if view is None else view.width for view in chosen)
        groups.setdefault((*alone, *widths), []).append(place)
    most = max(1, _HEADS_AT_ONCE // seeds)
    for places in groups.values():
        yield from (places[start : start + most] for start in range(0, len(places), most))


def _stacked(task: EncodedTask, views: Sequence[Views]) -> EncodedTask:
    """The task with a table for each head: all seeds of the first view, then of the second, and so on."""
    stacked = {}
    for modality, clips in task.codes.items():
        seen = [refined(clips, chosen) for chosen in views]
        tables = zip(*(one.tables for one in seen), strict=True)
        stacked[modality] = replace(
            seen[0],
            tables=tuple(torch.stack(layer).repeat_interleave(len(task.seeds), dim=0) for layer in tables),
        )
    return replace(task, codes=stacked, seeds=task.seeds * len(views))


def _trained(
    task: EncodedTask, source: str, rule: HeadProtocol, head: HeadConfig, views: int
) -> list[dict[Direction, _Score]]:
    """The heads of a stack, on every target."""
    scores: list[dict[Direction, _Score]] = [{} for _ in range(views)]
    for pair, heads in fit_source(task, source, rule, head).items():
        clips = task.clips(rule.report, pair.target)
        reached = rule.objective.choose(head_logits(rule.objective, heads.heads, clips), clips.labels)
        parts = zip(_split(reached.tolist(), views), _split(heads.reached, views), strict=True)
        for score, (reported, selection) in zip(scores, parts, strict=True):
            score[pair] = _Score(rule.objective.metric, reported, selection)
    return scores


def _split(values: Sequence[float], parts: int) -> list[tuple[float, ...]]:
    """Consecutive parts of equal length; empty ones of nothing."""
    each = len(values) // parts
    return [tuple(values[i * each : (i + 1) * each]) for i in range(parts)]


class Choice(Config):
    """The best of some refinements and all their sizes, for each direction of each run and task."""

    among: tuple[str, ...] = Field(
        min_length=1, description=f"names of refinements; '{ALL}' is one that is always there"
    )
    by: Literal["selection", "reported"] = Field(
        default="selection",
        description="what the heads reach on validation clips of the modality they learned on; or, a leak "
        "(P11), on the clips and in the modality that are reported",
    )


def check_choices(choices: Mapping[str, Choice], refinements: Collection[str]) -> None:
    """Refuse choices that cannot be made.

    Raises:
        ValueError: A choice has the name of a refinement, or chooses among something that there is not.
    """
    known = [ALL, *refinements]
    for name, choice in choices.items():
        if name in known:
            raise ValueError(f"'{name}' is the name of a choice and of a refinement; expected two names")
        for other in choice.among:
            if other not in known:
                raise ValueError(
                    f"the choice '{name}' is among '{other}'; expected some of {', '.join(known)}"
                )


def chosen(rows: Sequence[RefinedResult], choices: Mapping[str, Choice]) -> list[RefinedResult]:
    """A row for each choice and direction, with the numbers of the refinement that was chosen.

    Of equally good ones the largest is taken.

    Args:
        rows: All refinements of one run on one task.
        choices: Name -> choice.

    Raises:
        InputError: Nothing can be chosen by the selection clips, because there are none.
    """
    found = []
    for name, choice in choices.items():
        among = [row for row in rows if row.refinement in choice.among]
        for pair in dict.fromkeys((row.source, row.target) for row in rows):
            candidates = [row for row in among if (row.source, row.target) == pair]
            best = max(candidates, key=lambda row: (_value(row, name, choice), row.kept))
            found.append(best.model_copy(update={"refinement": name, "asked": None}))
    return found


def _value(row: RefinedResult, name: str, choice: Choice) -> float:
    if choice.by == "reported":
        return row.mean
    if row.selection is None:
        raise InputError(
            f"the choice '{name}' has no clips to choose by", expected="a task whose heads choose their epoch"
        )
    return row.selection
