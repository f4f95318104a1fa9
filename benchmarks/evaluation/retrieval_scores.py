"""From codes to the result rows of retrieval: every row of one modality looks for what is about the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.nn import functional

from benchmarks.evaluation.direction_rows import code_permutations, direction_result, measure, measures_of
from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.metrics import means_over_clips
from benchmarks.evaluation.ranking import Ranking, pooled, rank, released_ranks
from benchmarks.evaluation.scoring import EncodedTask, Scored
from unicode_cmg.errors import InputError
from unicode_cmg.results import DirectionResult, Measure

_METRIC, _DEPTHS, _PLACE = "R@10", (10, 1, 5), "mean rank"
_ACCURACY = "accuracy"


def retrieval_scores(task: EncodedTask, *, released: bool = False) -> Scored:
    """R@k in percent, median and mean place from 1, for each direction; R@10 also before quantization.

    Args:
        task: Its labels say what each row is about.
        released: Places as the released script finds them, instead of what is expected of tied candidates.
    """

    def row(pair: Direction, queries: _Side, candidates: _Side) -> DirectionResult:
        return _direction(task, pair, queries, candidates, released=released)

    return Scored(tuple(_with_continuous(task, pair, row) for pair in task.pairs))


def class_scores(task: EncodedTask) -> Scored:
    """Accuracy in percent of naming the most similar class, expected over tied classes.

    A class is the mean of the vectors of its prompts, the rows of the target modality; labels of all rows are
    classes.
    """

    def row(pair: Direction, clips: _Side, prompts: _Side) -> DirectionResult:
        vectors = prompts.vectors[prompts.which]
        member = prompts.items[None] == torch.arange(len(task.classes), device=vectors.device)[:, None]
        classes = functional.normalize(member.double() @ vectors / member.sum(dim=1, keepdim=True), dim=1)
        table = clips.vectors @ classes.T
        which, numbers = clips.which, torch.arange(len(classes), device=vectors.device)
        found = {_ACCURACY: 100 * rank(lambda some: table[which[some]], clips.items, numbers).within(1)[None]}
        measures = measures_of(
            lambda weights: means_over_clips(found, weights),
            task.bootstrap,
            len(which),
            which.device,
            {_ACCURACY: 100.0 / len(classes)},
        )
        return direction_result(pair, _ACCURACY, measures)

    return Scored(tuple(_with_continuous(task, pair, row) for pair in task.pairs))


def _with_continuous(
    task: EncodedTask, pair: Direction, row: Callable[[Direction, _Side, _Side], DirectionResult]
) -> DirectionResult:
    """The row of a direction from the codes, with what the same comparison gives before quantization."""
    source, target = (_side(task, m, rename=m == pair.target) for m in pair)
    found = row(pair, source, target)
    if not task.continuous:
        return found
    before = row(pair, *(_unquantized_side(task, m) for m in pair))
    return found.model_copy(
        update={"continuous": Measure(**{k: getattr(before, k) for k in Measure.model_fields})}
    )


@dataclass(frozen=True)
class _Side:
    """The rows of one modality.

    Attributes:
        vectors: `[distinct, D]` of length one.
        which: `[N]` the vector of each row.
        items: `[N]` what each row is about.
    """

    vectors: Float64[Tensor, "distinct dim"]
    which: Int64[Tensor, " rows"]
    items: Int64[Tensor, " rows"]


def _direction(
    task: EncodedTask, pair: Direction, queries: _Side, candidates: _Side, *, released: bool
) -> DirectionResult:
    answerable = torch.isin(queries.items, candidates.items)
    if not answerable.any():
        raise InputError(
            f"no item has both {pair.source} and {pair.target}", where=f"direction {pair}", fix="leave it out"
        )
    queries = _Side(queries.vectors, queries.which[answerable], queries.items[answerable])
    if released:
        found = _released(queries, candidates)
    else:
        table = queries.vectors @ candidates.vectors.T
        found = _expected(
            rank(
                lambda some: table[queries.which[some]][:, candidates.which], queries.items, candidates.items
            )
        )
    right = torch.bincount(candidates.items, minlength=int(queries.items.max()) + 1)[queries.items]
    blind = _expected(Ranking.blind(right, len(candidates.items)))
    # items are drawn with all their queries, because captions of the same item are alike
    distinct, which = torch.unique(queries.items, return_inverse=True)
    measures = measures_of(
        lambda weights: means_over_clips(found, None if weights is None else weights[:, which]),
        task.bootstrap,
        len(distinct),
        which.device,
        {name: values.mean().item() for name, values in blind.items()},
    )
    middles = [float(np.median(part[_PLACE].cpu().numpy())) for part in (found, blind)]
    measures["median rank"] = measure(middles[:1], middles[1], None)
    return direction_result(pair, _METRIC, measures)


def _side(task: EncodedTask, modality: str, *, rename: bool) -> _Side:
    """The reported rows of a modality; for the control experiment the codes of the target are renamed."""
    clips, split = task.codes[modality], task.rule.report
    if rename and task.permute_codes_seed is not None:
        orders = code_permutations(clips, (0,), task.permute_codes_seed)
        renamed = [order[0][clips.indices[..., k]] for k, order in enumerate(orders)]
        clips = replace(clips, indices=torch.stack(renamed, dim=-1))
    device = clips.indices.device
    where = torch.from_numpy(np.searchsorted(clips.rows, task.rows[split][modality])).to(device)
    vectors, which = pooled(clips.tables, clips.indices[where], clips.mask[where])
    return _Side(vectors, which, torch.from_numpy(task.labels[split][modality]).to(device))


def _unquantized_side(task: EncodedTask, modality: str) -> _Side:
    """The same rows as the mean of what was quantized in their real steps, a vector of its own each."""
    clips, split = task.codes[modality], task.rule.report
    where = torch.from_numpy(np.searchsorted(clips.rows, task.rows[split][modality])).to(clips.mask.device)
    mask = clips.mask[where][..., None]
    means = (torch.cat(clips.unquantized, dim=-1)[where].double() * mask).sum(dim=1) / mask.sum(dim=1)
    items = torch.from_numpy(task.labels[split][modality]).to(where.device)
    return _Side(functional.normalize(means, dim=1), torch.arange(len(where), device=where.device), items)


def _values(
    within: Callable[[int], Float64[Tensor, " queries"]], place: Float64[Tensor, " queries"]
) -> dict[str, Float64[Tensor, "1 queries"]]:
    """What is averaged over queries: the share of R@k for each k in percent, and the place."""
    return {f"R@{k}": 100 * within(k)[None] for k in _DEPTHS} | {_PLACE: place[None]}


def _expected(ranking: Ranking) -> dict[str, Float64[Tensor, "1 queries"]]:
    return _values(ranking.within, ranking.expected())


def _released(queries: _Side, candidates: _Side) -> dict[str, Float64[Tensor, "1 queries"]]:
    vectors = [side.vectors[side.which].float().cpu().numpy() for side in (queries, candidates)]
    ranks = released_ranks(*vectors, *(side.items.cpu().numpy() for side in (queries, candidates)))
    places = torch.from_numpy(ranks + 1)
    return _values(lambda k: (places <= k).double(), places.double())
