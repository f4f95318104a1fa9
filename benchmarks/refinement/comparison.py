"""Compare ways of refining on one task, with one pass of the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import Field

from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.metrics import mean_and_std
from benchmarks.evaluation.protocols import HeadProtocol
from benchmarks.evaluation.task_codes import EncodedTask
from benchmarks.refinement.scores import Score, Views, score_views
from benchmarks.refinement.views import LayerView
from benchmarks.refinement.way import LayerMaterial, Size, Way
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.results import HeadConfig

ALL = "all dimensions"


class RefinedResult(Config):
    """One direction of one refinement of one size."""

    refinement: str = Field(description="Its name; 'all dimensions' is none.")
    asked: Size | None = Field(description="The size that was asked for; none for all dimensions.")
    kept: int = Field(description="Numbers heads see of a code, over all evaluated layers.")
    n_dims: int = Field(description="Dimensions of these layers.")
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
    ways: Mapping[str, Way],
    seeds: Sequence[int],
    head: HeadConfig | None = None,
) -> list[RefinedResult]:
    """All dimensions, then every size of every way, in all directions of the task.

    Args:
        task: Encoded with inputs if a way requantizes.
        ways: Name -> how to refine.
        seeds: Of the heads.
        head: How heads train; the protocol's own way by default.

    Raises:
        InputError: A layer has no codebook, a size is not possible, or a way needs labels that heads learn
            from and there are none.
    """
    _check(task, ways)
    found: list[RefinedResult] = []
    for source in dict.fromkeys(pair.source for pair in task.pairs):
        requests = [_Request(ALL, None, [[None] * len(task.layers)])]
        requests += _requests(task, ways, source) if ways else []
        scores = iter(score_views(task, source, [views for r in requests for views in r.draws], seeds, head))
        for request in requests:
            draws = [next(scores) for _ in request.draws]
            found += [_row(task, request, pair, [draw[pair] for draw in draws]) for pair in draws[0]]
    return found


class _Request:
    """One size of one way: its views, one for each draw."""

    def __init__(self, name: str, asked: Size | None, draws: Sequence[Views]) -> None:
        self.name, self.asked, self.draws = name, asked, draws


def _requests(task: EncodedTask, ways: Mapping[str, Way], source: str) -> list[_Request]:
    layers = _materials(task, source)
    requests = []
    for name, way in ways.items():
        by_layer = [way.views(layer) for layer in layers]
        for place, size in enumerate(way.keep):
            draws: list[tuple[LayerView, ...]] = list(zip(*(sizes[place] for sizes in by_layer), strict=True))
            requests.append(_Request(name, size, draws))
    return requests


def _materials(task: EncodedTask, source: str) -> list[LayerMaterial]:
    training = None
    if isinstance(task.rule, HeadProtocol):
        training = task.setting((0,), None).clips(task.codes, task.rule.train, source)
    return [
        LayerMaterial(name, place, task.codebooks[name], training) for place, name in enumerate(task.layers)
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


def _check(task: EncodedTask, ways: Mapping[str, Way]) -> None:
    if ALL in ways:
        raise InputError(f"a refinement is called '{ALL}'", expected="another name: that one is always there")
    without = [layer for layer in task.layers if layer not in task.codebooks]
    if ways and without:
        raise InputError(
            f"the code layer '{without[0]}' has no codebook to refine",
            expected="layers with a codebook",
            fix="leave it out, or the refinements",
        )
    for name, way in ways.items():
        if way.uses_labels and not isinstance(task.rule, HeadProtocol):
            raise InputError(
                f"the refinement '{name}' needs labels that heads learn from",
                where=f"protocol {task.rule.name}",
                expected="a task that trains heads",
            )
